# The tests that ThreadSanitizer can follow: the core, without hosted programs. ./dev test --preset
# tsan builds and runs these.
add_custom_target(core_tests)

# GoogleTest's headers are parsed once for all tests.
file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/test_headers.cc" CONTENT "")
add_library(mend_test_headers OBJECT "${CMAKE_BINARY_DIR}/test_headers.cc")
set_target_properties(mend_test_headers PROPERTIES POSITION_INDEPENDENT_CODE OFF)
target_compile_options(mend_test_headers PRIVATE -fPIE)
target_link_libraries(mend_test_headers PRIVATE mend_flags mend_no_exceptions GTest::gtest GTest::gmock)
target_precompile_headers(mend_test_headers PRIVATE
  <string> <vector> <gmock/gmock.h> <gtest/gtest.h> <absl/status/statusor.h>)

# mend_test(NAME SOURCES... [LIBRARIES ...] [TIMEOUT seconds] [EXCEPTIONS] [CORE] [SERIAL])
# A GoogleTest program, one ctest test per program; exit code 77 counts as skipped. CORE: it needs
# nothing but runtime/, and runs under ThreadSanitizer too. Tests run side by side, as many as there
# are processors; SERIAL: it fills them all, and runs alone.
function(mend_test name)
  cmake_parse_arguments(arg "EXCEPTIONS;CORE;SERIAL" "TIMEOUT" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES} ${arg_UNPARSED_ARGUMENTS})
  if(arg_EXCEPTIONS)
    target_link_libraries(${name} PRIVATE mend_flags mend_exceptions)
  else()
    target_link_libraries(${name} PRIVATE mend_flags mend_no_exceptions)
    target_precompile_headers(${name} REUSE_FROM mend_test_headers)
  endif()
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
  if(arg_SERIAL)
    set_property(TEST ${name} PROPERTY RUN_SERIAL ON)
  endif()
  mend_sanitized_test(${name})
  if(arg_CORE)
    set_property(TEST ${name} APPEND PROPERTY LABELS core)
    add_dependencies(core_tests ${name})
  endif()
endfunction()

# mend_mutated_source(OUT FILE FROM TO): a copy of FILE, of the source directory, in which FROM, which
# must occur exactly once, reads TO: a known wrong variant that a test must catch. Sets OUT to the
# copy's path; to nothing, when FROM is not there (any more).
function(mend_mutated_source out file from to)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${file}")
  file(READ "${CMAKE_SOURCE_DIR}/${file}" text)
  string(FIND "${text}" "${from}" first)
  string(FIND "${text}" "${from}" last REVERSE)
  set(${out} "" PARENT_SCOPE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    return()
  endif()
  string(REPLACE "${from}" "${to}" text "${text}")
  string(MAKE_C_IDENTIFIER "${out}" directory)
  get_filename_component(name "${file}" NAME)
  set(copy "${CMAKE_CURRENT_BINARY_DIR}/${directory}/${name}")
  file(WRITE "${copy}.new" "${text}")
  file(COPY_FILE "${copy}.new" "${copy}" ONLY_IF_DIFFERENT)
  set(${out} "${copy}" PARENT_SCOPE)
endfunction()
