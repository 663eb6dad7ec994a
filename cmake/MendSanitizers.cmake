# Sanitizers of mend's own code (MEND_SANITIZE), and how tests run under them. What the presets cover:
# docs/architecture.md, "Under sanitizers".
set(MEND_SANITIZER_ENVIRONMENT "")
set(MEND_SANITIZER_REPORTS "${CMAKE_BINARY_DIR}/sanitizer-reports")
set(MEND_ADDRESS_SANITIZER OFF)
if(MEND_SANITIZE STREQUAL "thread")
  # ThreadSanitizer's runtime is there, and cannot be interrupted anywhere. (The simulation is
  # compiled with its instrumentation alone.)
  target_compile_definitions(mend_flags INTERFACE MEND_THREAD_SANITIZER=1)
endif()
if(MEND_SANITIZE)
  # Forked children of tests start threads.
  set(MEND_SANITIZER_ENVIRONMENT "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0"
    "TSAN_OPTIONS=die_after_fork=0:second_deadlock_stack=1" "UBSAN_OPTIONS=print_stacktrace=1")
  target_compile_options(mend_flags INTERFACE
    -fsanitize=${MEND_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # That a pointer has its function's type is noted in front of the function. Hosted functions, and
  # what tests take for them, have nothing there; the first of all has not even memory.
  target_compile_options(mend_flags INTERFACE -fno-sanitize=function)
  target_link_options(mend_flags INTERFACE -fsanitize=${MEND_SANITIZE})
endif()
if(MEND_SANITIZE MATCHES "address")
  set(MEND_ADDRESS_SANITIZER ON)
  # The runtime is a shared library, behind libmend.so in the scope of a hosted program: what mend
  # stands in front of is then AddressSanitizer's own function, and behind that libc's. A runtime
  # inside of the executable would come before libmend.so, and no call would pass through it.
  target_link_options(mend_flags INTERFACE -shared-libasan)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} --print-file-name=libclang_rt.asan-x86_64.so
    OUTPUT_VARIABLE MEND_ASAN_RUNTIME OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  if(NOT EXISTS "${MEND_ASAN_RUNTIME}")
    message(FATAL_ERROR "the sanitizers need libclang-rt-22-dev (or let ./dev build do it)")
  endif()
  cmake_path(GET MEND_ASAN_RUNTIME PARENT_PATH directory)
  list(APPEND CMAKE_BUILD_RPATH "${directory}")
  list(APPEND CMAKE_INSTALL_RPATH "${directory}")
  # Deaths are the tests' to judge, and so is memory that there is not. A report goes to a file, since
  # much that tests start has its streams read by nobody, and ends by a signal anyhow. The test
  # sanitizer_reports, after all others, fails when there is one.
  string(CONCAT options "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:"
    "allocator_may_return_null=1:log_path=${MEND_SANITIZER_REPORTS}/report")
  list(APPEND MEND_SANITIZER_ENVIRONMENT "ASAN_OPTIONS=${options}")
endif()

# mend_sanitized_test(NAME): a test that runs programs of this build. Under AddressSanitizer they take
# several times as long.
function(mend_sanitized_test name)
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "${MEND_SANITIZER_ENVIRONMENT}")
  if(MEND_ADDRESS_SANITIZER)
    get_test_property(${name} TIMEOUT timeout)
    math(EXPR timeout "4 * ${timeout}")
    set_property(TEST ${name} PROPERTY TIMEOUT ${timeout})
    set_property(TEST ${name} APPEND PROPERTY FIXTURES_REQUIRED sanitizer_reports)
  endif()
endfunction()
