# The library: all rooms in one libcairn.so.0, which exports nothing but CAIRN_API functions, and the same
# objects in libcairn.a; and what is installed.
set(objects)
set(third_parties)
foreach(room IN LISTS CAIRN_LIBRARY_ROOMS)
    if(TARGET crn_${room})
        list(APPEND objects $<TARGET_OBJECTS:crn_${room}>)
        get_property(room_third_parties TARGET crn_${room} PROPERTY CRN_THIRD_PARTIES)
        list(APPEND third_parties ${room_third_parties})
    endif()
endforeach()
list(REMOVE_DUPLICATES third_parties)

# Hidden visibility does not reach the templates of the C++ library and of FAISS; the version script does.
add_library(cairn SHARED ${objects})
set_target_properties(cairn PROPERTIES
    LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/cairn.map)
target_link_libraries(cairn PRIVATE ${third_parties})
target_link_options(cairn PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/cairn.map)
if(NOT CAIRN_SANITIZE AND NOT CAIRN_FUZZ) # their runtimes are linked by the program
    target_link_options(cairn PRIVATE -Wl,--no-undefined)
endif()

# Inside the tree libcairn.a links the files that were found; once installed it names them to the linker.
add_library(cairn_static STATIC ${objects})
set_target_properties(cairn_static PROPERTIES LINKER_LANGUAGE CXX OUTPUT_NAME cairn EXPORT_NAME static)
set(link_names)
foreach(library IN LISTS third_parties)
    target_link_libraries(cairn_static PRIVATE $<BUILD_INTERFACE:${library}>)
    if(TARGET ${library})
        get_property(names TARGET ${library} PROPERTY CRN_LINK_NAMES)
        list(APPEND link_names ${names})
    endif()
endforeach()
list(APPEND link_names stdc++ m)
target_link_libraries(cairn_static INTERFACE "$<INSTALL_INTERFACE:${link_names}>")

foreach(library cairn cairn_static)
    target_include_directories(${library} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

install(DIRECTORY include/cairn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS cairn cairn_static EXPORT cairn)

# find_package(cairn): cairn::cairn and cairn::static.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cairn-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(EXPORT cairn NAMESPACE cairn:: FILE cairn-config.cmake DESTINATION ${package_folder})
install(FILES ${PROJECT_BINARY_DIR}/cairn-config-version.cmake DESTINATION ${package_folder})

# pkg-config: the prefix is found from the file's own place, so that an installed tree can be moved.
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
list(TRANSFORM link_names PREPEND "-l" OUTPUT_VARIABLE pc_private)
list(JOIN pc_private " " pc_private)
configure_file(cmake/cairn.pc.in cairn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cairn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES cli/cairn.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
set(completions ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES cli/completions/cairn.bash DESTINATION ${completions} RENAME cairn OPTIONAL)
install(FILES cli/completions/_cairn DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions OPTIONAL)
install(FILES cli/completions/cairn.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d OPTIONAL)
