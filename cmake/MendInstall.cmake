# cmake --install: programs, libmend, its parts, headers, and what find_package(mend) and pkg-config
# need to find them. patchc and libmend find each other by their places (bin/ and lib/ beside one
# another), so an installation may be moved as a whole.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# patchc and mend look for lib/ beside bin/ (toolchain.cc, compile.cc): Debian's multiarch folder
# would not be found.
set(MEND_INSTALL_LIBDIR lib)

set_target_properties(mend_shared PROPERTIES EXPORT_NAME mend)
install(TARGETS mend_shared EXPORT mendTargets LIBRARY DESTINATION ${MEND_INSTALL_LIBDIR})
install(TARGETS mend patchc RUNTIME DESTINATION bin)
install(FILES "${CMAKE_BINARY_DIR}/bin/mend-cc" "${CMAKE_BINARY_DIR}/bin/mend-c++" DESTINATION bin)
install(TARGETS mend_control_http LIBRARY DESTINATION ${MEND_INSTALL_LIBDIR}/mend)
install(FILES "${CMAKE_BINARY_DIR}/lib/mend/launcher.o" "${CMAKE_BINARY_DIR}/lib/mend/static_pool.o" DESTINATION ${MEND_INSTALL_LIBDIR}/mend)
install(FILES mend/function.h mend/livepatch.h mend/runtime.h DESTINATION include/mend)

set(MEND_CONFIG_DIR ${MEND_INSTALL_LIBDIR}/cmake/mend)
install(EXPORT mendTargets NAMESPACE mend:: DESTINATION ${MEND_CONFIG_DIR})
configure_package_config_file(cmake/mendConfig.cmake.in "${CMAKE_BINARY_DIR}/mendConfig.cmake"
  INSTALL_DESTINATION ${MEND_CONFIG_DIR})
write_basic_package_version_file("${CMAKE_BINARY_DIR}/mendConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/mendConfig.cmake" "${CMAKE_BINARY_DIR}/mendConfigVersion.cmake"
  DESTINATION ${MEND_CONFIG_DIR})
configure_file(cmake/mend.pc.in "${CMAKE_BINARY_DIR}/mend.pc" @ONLY)
configure_file(cmake/mend-library.pc.in "${CMAKE_BINARY_DIR}/mend-library.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/mend.pc" "${CMAKE_BINARY_DIR}/mend-library.pc" DESTINATION ${MEND_INSTALL_LIBDIR}/pkgconfig)
