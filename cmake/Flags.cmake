# Compiler settings of every room. Instruction sets are not among them: the files that need one get it from
# their room with set_source_files_properties, so that one binary runs on every CPU of its architecture.
set(CMAKE_C_STANDARD 17)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

# No -DNDEBUG: asserts at module doors stay in release builds.
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_RELEASE "-O2")

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
string(COMPARE EQUAL "${processor}" "x86_64" CAIRN_X86_64)
string(REGEX MATCH "^(aarch64|arm64)$" CAIRN_AARCH64 "${processor}")

add_compile_definitions(_GNU_SOURCE CAIRN_VERSION_STRING="${PROJECT_VERSION}")
add_link_options(-Wl,-z,relro,-z,now)

set(warnings -Wall -Wextra -Wshadow -Wpointer-arith -Wvla)
add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:${warnings}>"
    "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>")
if(CAIRN_WERROR)
    add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-Werror>)
endif()

if(CAIRN_SANITIZE)
    add_compile_options(-fsanitize=${CAIRN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${CAIRN_SANITIZE})
    # Instrumented code hides the ranges of values, so that these warnings see what cannot be.
    add_compile_options(-Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds)
endif()
# For files in AVX-512: GCC 12 aligns the frames that outlive their function to 32 bytes, and stores whole vectors into them as if
# they were aligned to 64 (GCC bug 110027).
set(CAIRN_WIDE_FRAMES)
if(CAIRN_SANITIZE MATCHES "address" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(CAIRN_WIDE_FRAMES "--param=asan-use-after-return=0")
endif()
if(CAIRN_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()
if(CAIRN_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "CAIRN_FUZZ needs clang: use the preset `fuzz` (./dev fuzz)")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-rtlib=compiler-rt -unwindlib=libgcc) # clang 14 converts __fp16 by functions that libgcc lacks
endif()

find_program(CAIRN_CCACHE ccache)
if(CAIRN_CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${CAIRN_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CAIRN_CCACHE})
endif()
