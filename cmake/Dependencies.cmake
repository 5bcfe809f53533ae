# Third-party libraries: each one an interface target crn_dep_<name>, found by header and library alone, so
# that nothing depends on how a distribution packages its CMake or pkg-config files.
include(CheckCSourceCompiles)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# crn_dep(<name> HEADER <file> [LIBRARIES <names>] PACKAGE <Debian package> [SUFFIXES <include folders>])
# Its property CRN_LINK_NAMES is what those who link the installed libcairn.a are told.
function(crn_dep name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;PACKAGE" "LIBRARIES;SUFFIXES")
    add_library(crn_dep_${name} INTERFACE)
    set_property(TARGET crn_dep_${name} PROPERTY CRN_LINK_NAMES ${arg_LIBRARIES})

    find_path(CRN_INCLUDE_${name} ${arg_HEADER} PATH_SUFFIXES ${arg_SUFFIXES})
    mark_as_advanced(CRN_INCLUDE_${name})
    if(NOT CRN_INCLUDE_${name})
        message(FATAL_ERROR "${arg_HEADER} not found (Debian: ${arg_PACKAGE}): run ./dev setup")
    endif()
    target_include_directories(crn_dep_${name} SYSTEM INTERFACE ${CRN_INCLUDE_${name}})

    foreach(library IN LISTS arg_LIBRARIES)
        if(TARGET ${library}) # a parent project builds it
            target_link_libraries(crn_dep_${name} INTERFACE ${library})
            continue()
        endif()
        find_library(CRN_LIBRARY_${library} ${library})
        mark_as_advanced(CRN_LIBRARY_${library})
        if(NOT CRN_LIBRARY_${library})
            message(FATAL_ERROR "lib${library} not found (Debian: ${arg_PACKAGE}): run ./dev setup")
        endif()
        target_link_libraries(crn_dep_${name} INTERFACE ${CRN_LIBRARY_${library}})
    endforeach()
endfunction()

set(blas_folders openblas-pthread openblas)
crn_dep(sqlite HEADER sqlite3.h LIBRARIES sqlite3 PACKAGE libsqlite3-dev)
crn_dep(xxhash HEADER xxhash.h PACKAGE libxxhash-dev) # compiled in from its header
crn_dep(simdjson HEADER simdjson.h LIBRARIES simdjson PACKAGE libsimdjson-dev)
crn_dep(roaring HEADER roaring/roaring.h LIBRARIES roaring PACKAGE libroaring-dev)
crn_dep(openblas HEADER cblas.h LIBRARIES openblas PACKAGE libopenblas-pthread-dev SUFFIXES ${blas_folders})
crn_dep(curl HEADER curl/curl.h LIBRARIES curl PACKAGE libcurl4-openssl-dev)
crn_dep(openssl HEADER openssl/ssl.h LIBRARIES ssl crypto PACKAGE libssl-dev)
crn_dep(uv HEADER uv.h LIBRARIES uv PACKAGE libuv1-dev)

# dlopen, for libcuda: in the C library itself where there is no libdl.
add_library(crn_dep_dl INTERFACE)
target_link_libraries(crn_dep_dl INTERFACE ${CMAKE_DL_LIBS})
set_property(TARGET crn_dep_dl PROPERTY CRN_LINK_NAMES ${CMAKE_DL_LIBS})

# HDF5, for `cairn bench --data x.hdf5` alone: where it is missing the program says so when asked for it.
add_library(crn_dep_hdf5 INTERFACE)
if(CAIRN_HDF5)
    find_path(CRN_INCLUDE_hdf5 hdf5.h PATH_SUFFIXES hdf5/serial)
    find_library(CRN_LIBRARY_hdf5 NAMES hdf5_serial hdf5)
    mark_as_advanced(CRN_INCLUDE_hdf5 CRN_LIBRARY_hdf5)
    if(CRN_INCLUDE_hdf5 AND CRN_LIBRARY_hdf5)
        target_include_directories(crn_dep_hdf5 SYSTEM INTERFACE ${CRN_INCLUDE_hdf5})
        target_link_libraries(crn_dep_hdf5 INTERFACE ${CRN_LIBRARY_hdf5})
        target_compile_definitions(crn_dep_hdf5 INTERFACE CAIRN_HDF5)
        set(CAIRN_HDF5_FOUND ON)
    else()
        message(STATUS "HDF5 not found (Debian: libhdf5-dev): cairn bench is built without it")
    endif()
endif()
if(CAIRN_TESTS)
    crn_dep(cmocka HEADER cmocka.h LIBRARIES cmocka PACKAGE libcmocka-dev)
endif()

# FAISS's C functions, which Debian's library lacks: those of a parent project, else those of a faiss_c that
# links, else engine/ compiles its own over the C++ classes. Never both.
set(faiss faiss)
if(NOT CAIRN_FAISS STREQUAL "generic")
    set(faiss faiss_${CAIRN_FAISS})
endif()
find_library(CRN_LIBRARY_faiss_c faiss_c)
mark_as_advanced(CRN_LIBRARY_faiss_c)
if(TARGET faiss_c)
    set(CAIRN_FAISS_C_FOUND ON)
elseif(CRN_LIBRARY_faiss_c)
    set(CMAKE_REQUIRED_LIBRARIES ${CRN_LIBRARY_faiss_c} ${faiss} openblas gomp stdc++ m)
    check_c_source_compiles("
        #include <faiss/c_api/index_factory_c.h>
        int main(void) { FaissIndex *i; return faiss_index_factory(&i, 4, \"Flat\", METRIC_L2); }"
        CAIRN_FAISS_C_FOUND)
    unset(CMAKE_REQUIRED_LIBRARIES)
else()
    set(CAIRN_FAISS_C_FOUND OFF)
endif()
set(faiss_c)
if(CAIRN_FAISS_C_FOUND)
    set(faiss_c faiss_c)
endif()

# FAISS's own GPU indexes, which are part of libfaiss_c where FAISS was built with them (Debian's was not).
set(CAIRN_FAISS_GPU_FOUND OFF)
if(CRN_LIBRARY_faiss_c AND CAIRN_FAISS_C_FOUND)
    set(CMAKE_REQUIRED_LIBRARIES ${CRN_LIBRARY_faiss_c} ${faiss} openblas gomp stdc++ m)
    check_c_source_compiles("
        #include <faiss/c_api/gpu/DeviceUtils_c.h>
        #include <faiss/c_api/gpu/GpuAutoTune_c.h>
        #include <faiss/c_api/gpu/StandardGpuResources_c.h>
        int main(void) { int count; return faiss_get_num_gpus(&count); }"
        CAIRN_FAISS_GPU_LINKS)
    unset(CMAKE_REQUIRED_LIBRARIES)
    set(CAIRN_FAISS_GPU_FOUND ${CAIRN_FAISS_GPU_LINKS})
endif()

# FAISS: the static library, with OpenBLAS and the OpenMP runtime that it was compiled for (GCC's) named
# directly, because the CMake target that Debian ships asks for packages that are not there.
crn_dep(faiss HEADER faiss/Index.h LIBRARIES ${faiss_c} ${faiss} openblas PACKAGE libfaiss-dev)
target_link_libraries(crn_dep_faiss INTERFACE gomp Threads::Threads)
set_property(TARGET crn_dep_faiss APPEND PROPERTY CRN_LINK_NAMES gomp)
target_compile_definitions(crn_dep_faiss INTERFACE CRN_FAISS_VARIANT="${CAIRN_FAISS}")
