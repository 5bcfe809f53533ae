# Finds nvcc, tries it, and makes gpu.fatbin. Sets CAIRN_GPU_FOUND, CAIRN_GPU_INCLUDE (of cuda.h) and CAIRN_GPU_WHY.
find_program(CAIRN_NVCC nvcc HINTS $ENV{CUDACXX} ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
set(CAIRN_GPU_WHY "none was found")
if(DEFINED ENV{CUDACXX} AND EXISTS "$ENV{CUDACXX}")
    set(CAIRN_NVCC $ENV{CUDACXX})
endif()

set(CAIRN_GPU_FLAGS)
foreach(architecture IN LISTS CAIRN_GPU_ARCHITECTURES)
    if(architecture MATCHES "^(.*)-virtual$")
        list(APPEND CAIRN_GPU_FLAGS -gencode=arch=compute_${CMAKE_MATCH_1},code=compute_${CMAKE_MATCH_1})
    else()
        list(APPEND CAIRN_GPU_FLAGS -gencode=arch=compute_${architecture},code=sm_${architecture})
    endif()
endforeach()

# The host's compiler matters to nvcc although nothing is compiled for the host: it preprocesses with it.
function(crn_gpu_try_nvcc)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/nvcc_try)
    file(WRITE ${folder}/try.cu "#include <cuda.h>\n#include <cuda_fp16.h>\n__global__ void kernel(int *x) { *x = CUDA_VERSION; }\n#if CUDA_VERSION < 12040\n#error CUDA 12.4 or newer is needed\n#endif\n")
    execute_process(
        COMMAND ${CAIRN_NVCC} -std=c++17 -ccbin ${CMAKE_CXX_COMPILER} -fatbin ${CAIRN_GPU_FLAGS} ${folder}/try.cu -o ${folder}/try.fatbin
        RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
        set(CAIRN_GPU_WHY "${CAIRN_NVCC} fails: ${output}" PARENT_SCOPE)
        return()
    endif()
    # cuda.h lies where nvcc itself finds it.
    execute_process(COMMAND ${CAIRN_NVCC} -std=c++17 -ccbin ${CMAKE_CXX_COMPILER} -M ${folder}/try.cu OUTPUT_VARIABLE depends ERROR_QUIET)
    string(REGEX MATCH "[^ \n\\]*/cuda\\.h" header "${depends}")
    get_filename_component(include ${header} DIRECTORY)
    set(CAIRN_GPU_INCLUDE ${include} PARENT_SCOPE)
    set(CAIRN_GPU_FOUND ON PARENT_SCOPE)
endfunction()

if(CAIRN_NVCC)
    crn_gpu_try_nvcc()
endif()
if(CAIRN_GPU_FOUND)
    message(STATUS "CUDA kernels: ${CAIRN_NVCC}, for ${CAIRN_GPU_ARCHITECTURES}")
    set(gpu ${CAIRN_GPU_ROOT}/gpu)
    file(GLOB kernel_headers CONFIGURE_DEPENDS ${gpu}/kernels/*.cuh ${gpu}/kernels/*.h)
    set(CAIRN_GPU_THREADS 2 CACHE STRING "Architectures that nvcc compiles at once")
    add_custom_command(
        OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/gpu.fatbin
        COMMAND ${CAIRN_NVCC} -std=c++17 -O3 -ccbin ${CMAKE_CXX_COMPILER} -fatbin -Xfatbin=-compress-all -t ${CAIRN_GPU_THREADS}
                -I${CAIRN_GPU_ROOT} ${CAIRN_GPU_FLAGS} ${gpu}/kernels/kernels.cu -o ${CMAKE_CURRENT_BINARY_DIR}/gpu.fatbin
        DEPENDS ${gpu}/kernels/kernels.cu ${kernel_headers}
        COMMENT "Compiling CUDA kernels" VERBATIM)
else()
    message(STATUS "CUDA kernels are not built: nvcc: ${CAIRN_GPU_WHY}")
endif()
