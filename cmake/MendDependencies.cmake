# Finds what Debian's packages supply; a missing one is named with its package.
macro(mend_require name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "mend needs ${name}: apt-get install ${package} (or let ./dev build do it)")
  endif()
endmacro()

find_package(LLVM 22.1 CONFIG QUIET PATHS /usr/lib/llvm-22 NO_DEFAULT_PATH)
if(NOT LLVM_FOUND)
  message(FATAL_ERROR "mend needs LLVM 22.1: apt-get install llvm-22-dev (or let ./dev build do it)")
endif()
mend_require(absl libabsl-dev CONFIG)
mend_require(nlohmann_json nlohmann-json3-dev 3.11 CONFIG)
mend_require(CLI11 libcli11-dev 2.1 CONFIG)
mend_require(GTest libgtest-dev CONFIG)
mend_require(benchmark libbenchmark-dev CONFIG)
mend_require(Threads libc6-dev)

# Abseil: statically for executables, since loading it as thirty shared libraries is half of what a
# command takes (4 of 8 ms). Debian's archives are made for executables (-fPIE), with thread-locals and
# references to libstdc++'s data that a shared library may not have, so not for libmend.so.
get_target_property(absl_status absl::status IMPORTED_LOCATION_NONE)
get_filename_component(absl_folder "${absl_status}" DIRECTORY)
file(GLOB absl_archives "${absl_folder}/libabsl_*.a")
if(NOT absl_archives)
  message(FATAL_ERROR "mend needs Abseil's archives: apt-get install libabsl-dev (or let ./dev build do it)")
endif()
add_library(mend_absl INTERFACE)
set(absl_targets absl::status absl::statusor absl::strings absl::str_format absl::time absl::span
  absl::flat_hash_map)
# ld.lld looks through all archives for each symbol, in any order.
target_link_libraries(mend_absl INTERFACE
  "$<IF:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>,${absl_archives},${absl_targets}>")

find_path(MEND_ZSTD_INCLUDE zstd.h)
find_library(MEND_ZSTD_LIBRARY zstd)
if(NOT MEND_ZSTD_INCLUDE OR NOT MEND_ZSTD_LIBRARY)
  message(FATAL_ERROR "mend needs zstd: apt-get install libzstd-dev (or let ./dev build do it)")
endif()
add_library(mend_zstd INTERFACE)
target_include_directories(mend_zstd SYSTEM INTERFACE ${MEND_ZSTD_INCLUDE})
target_link_libraries(mend_zstd INTERFACE ${MEND_ZSTD_LIBRARY})

set(MEND_LLVM_ROOT "${LLVM_INSTALL_PREFIX}")
if(NOT EXISTS "${MEND_LLVM_ROOT}/lib/libclangFrontend.a"
    OR NOT EXISTS "${MEND_LLVM_ROOT}/include/clang/Frontend/CompilerInstance.h")
  message(FATAL_ERROR "mend needs Clang 22's libraries: apt-get install libclang-22-dev (or let ./dev build do it)")
endif()
find_program(MEND_LLD NAMES ld.lld-22)
if(NOT MEND_LLD)
  message(FATAL_ERROR "mend needs lld 22: apt-get install lld-22 (or let ./dev build do it)")
endif()

# LLVM's and Clang's headers, as system headers. Their folder is not searched itself: libc++abi-22-dev
# puts a cxxabi.h there, which would hide libstdc++'s.
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/llvm_headers")
foreach(folder IN ITEMS clang clang-c llvm llvm-c)
  file(CREATE_LINK "${MEND_LLVM_ROOT}/include/${folder}" "${CMAKE_BINARY_DIR}/llvm_headers/${folder}" SYMBOLIC)
endforeach()
add_library(mend_llvm_headers INTERFACE)
target_include_directories(mend_llvm_headers SYSTEM INTERFACE "${CMAKE_BINARY_DIR}/llvm_headers")
target_compile_definitions(mend_llvm_headers INTERFACE ${LLVM_DEFINITIONS_LIST})
if(MEND_ADDRESS_SANITIZER)
  target_compile_options(mend_llvm_headers INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include ${CMAKE_SOURCE_DIR}/cmake/uninstrumented_llvm.h>")
endif()

# What the host links of LLVM: ORC, JITLink and object files, statically and without a code
# generator; an empty program with all of libLLVM is 55 MB resident.
add_library(mend_llvm_host INTERFACE)
llvm_map_components_to_libnames(mend_llvm_host_libraries orcjit orctargetprocess jitlink object support)
target_link_libraries(mend_llvm_host INTERFACE mend_llvm_headers ${mend_llvm_host_libraries})

# What the compiler links: Clang and the code generator for x86-64, statically: with the shared
# libraries every run of patchc begins with 75 ms of relocating them, more than a small unit takes
# to compile.
add_library(mend_clang INTERFACE)
# Polly is a package of its own, and left out (patchc/support/no_polly.cc).
set_property(TARGET LLVMExtensions PROPERTY INTERFACE_LINK_LIBRARIES LLVMSupport)
llvm_map_components_to_libnames(mend_llvm_compiler_libraries
  x86codegen x86asmparser x86disassembler passes lto coverage irreader option windowsdriver
  frontenddriver frontendhlsl frontendoffloading frontendopenmp)
set(mend_clang_libraries)
foreach(name Frontend Driver CodeGen Serialization Parse Sema Analysis AnalysisLifetimeSafety Edit
    APINotes ASTMatchers AST Lex Options Support Basic)
  list(APPEND mend_clang_libraries "${MEND_LLVM_ROOT}/lib/libclang${name}.a")
endforeach()
target_link_libraries(mend_clang INTERFACE mend_llvm_headers
  -Wl,--start-group ${mend_clang_libraries} -Wl,--end-group mend_no_polly
  ${mend_llvm_compiler_libraries})
target_link_options(mend_clang INTERFACE -no-pie -Wl,--gc-sections -Wl,--as-needed)

# Debian's cpp-httplib is a shared library that brings OpenSSL along. Only the control server's own
# module and the clients link it, never libmend.so: a hosted program must not get an OpenSSL that
# it did not ask for.
find_path(MEND_HTTPLIB_INCLUDE httplib.h)
find_library(MEND_HTTPLIB_LIBRARY cpp-httplib)
if(NOT MEND_HTTPLIB_INCLUDE OR NOT MEND_HTTPLIB_LIBRARY)
  message(FATAL_ERROR "mend needs cpp-httplib: apt-get install libcpp-httplib-dev (or let ./dev build do it)")
endif()
add_library(mend_httplib INTERFACE)
target_include_directories(mend_httplib SYSTEM INTERFACE ${MEND_HTTPLIB_INCLUDE})
# The library was compiled with these; without them its classes have another layout here.
target_compile_definitions(mend_httplib INTERFACE
  CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_ZLIB_SUPPORT CPPHTTPLIB_BROTLI_SUPPORT)
target_link_libraries(mend_httplib INTERFACE ${MEND_HTTPLIB_LIBRARY})
