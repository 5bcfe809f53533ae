# How a room, a test, a fuzz harness and the program are declared. A room's CMakeLists.txt is little more
# than one of these calls.
#
# A room is a STATIC library, not an OBJECT library: CMake carries a static library's own dependencies to
# whoever links it, while the objects of an object library reach only their direct user. The shared and the
# installed static library are made from $<TARGET_OBJECTS:...> of the rooms, so no whole-archive is needed.

# crn_room(<room> SOURCES <files> LINK <crn_rooms and crn_dep_libraries>): the target crn_<room>.
function(crn_room room)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "crn_room(${room}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
    endif()
    add_library(crn_${room} STATIC ${arg_SOURCES})
    target_include_directories(crn_${room} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
    # Rooms are PUBLIC, third parties PRIVATE: a library's headers stay with its one user.
    set(third_parties ${arg_LINK})
    set(rooms ${arg_LINK})
    list(FILTER rooms INCLUDE REGEX "^crn_[a-z]+$")
    list(FILTER third_parties EXCLUDE REGEX "^crn_[a-z]+$")
    target_link_libraries(crn_${room} PUBLIC ${rooms} PRIVATE ${third_parties})
    set_property(TARGET crn_${room} PROPERTY CRN_THIRD_PARTIES ${third_parties})
endfunction()

# What the four functions below have in common: an executable that may include every room.
function(crn_executable target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "${target}: unknown arguments ${arg_UNPARSED_ARGUMENTS}")
    endif()
    add_executable(${target} ${arg_SOURCES})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(${target} PRIVATE ${arg_LINK})
endfunction()

# crn_program(<name> SOURCES <files> LINK <...>): the installed program build/<preset>/<name>. Its target is
# <name>_program, because `cairn` is the library's target.
function(crn_program name)
    crn_executable(${name}_program ${ARGN})
    set_target_properties(${name}_program PROPERTIES
        OUTPUT_NAME ${name}
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
    install(TARGETS ${name}_program RUNTIME)
endfunction()

# What the sanitizers are told at run time.
set(CRN_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/sanitizers/tsan.supp")

# crn_test(<name> SOURCES <files> LINK <crn_rooms ...> [ARGS <argv>] [LABELS concurrent|soak ...]
#          [TIMEOUT <seconds, default 120>]): the ctest test <name>, a cmocka program. `concurrent` tests run
# under tsan as well; `soak` tests run only by ./dev soak.
function(crn_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LINK;ARGS;LABELS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(CAIRN_SANITIZE)
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
    endif()
    crn_executable(${name} SOURCES ${arg_SOURCES} LINK ${arg_LINK} crn_dep_cmocka ${arg_UNPARSED_ARGUMENTS})
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
    set_tests_properties(${name} PROPERTIES
        LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${CRN_TEST_ENVIRONMENT}")
endfunction()

# crn_bench(<name> SOURCES <files> LINK <...>): build/<preset>/bench/<name>, which ./dev bench runs.
function(crn_bench name)
    crn_executable(${name} ${ARGN})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
endfunction()

# crn_fuzz(<name> SOURCES fuzz_<name>.c LINK <crn_rooms ...>): with CAIRN_FUZZ the libFuzzer program
# fuzz_<name>; without it the same harness behind replay.c, which runs every file of corpus/<name> as the
# ctest test replay_<name>.
function(crn_fuzz name)
    set(target fuzz_${name})
    crn_executable(${target} ${ARGN})
    if(CAIRN_FUZZ)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    else()
        target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME replay_${name} COMMAND ${target} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
        set_tests_properties(replay_${name} PROPERTIES
            TIMEOUT 120 ENVIRONMENT "${CRN_TEST_ENVIRONMENT}")
    endif()
endfunction()
