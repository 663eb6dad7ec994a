# Options and compile flags of the whole project. Warning flags have this one source.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")

set(MEND_SANITIZE "" CACHE STRING "Sanitizers for mend's own code, as for -fsanitize=; empty for none")
option(MEND_KEEP_DEBUG_INFO "Leave debug information in libmend.so; valgrind 3.19 cannot read it" OFF)
option(MEND_FAILPOINTS "Compile the failpoints in (test builds)" ON)

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 22)
  message(FATAL_ERROR "mend is compiled with clang-22 (Debian package clang-22); "
    "CMAKE_CXX_COMPILER is ${CMAKE_CXX_COMPILER} (${CMAKE_CXX_COMPILER_VERSION}). Use a preset, or ./dev build.")
endif()

add_library(mend_flags INTERFACE)
target_include_directories(mend_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(mend_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety;-Wfunction-effects;-Wno-sign-conversion;-Wno-missing-designated-field-initializers>
  # The stack walker relies on it, in our own text too.
  -fasynchronous-unwind-tables)
# No exceptions and no RTTI of our own (LLVM is used so). Targets that libraries force to use
# exceptions (CLI11), or that must run destructors under forced unwinding (guest_libc), link
# mend_exceptions instead of mend_no_exceptions.
add_library(mend_no_exceptions INTERFACE)
target_compile_options(mend_no_exceptions INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions;-fno-rtti>)
add_library(mend_exceptions INTERFACE)
target_compile_options(mend_exceptions INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fexceptions;-frtti>)

if(MEND_FAILPOINTS)
  target_compile_definitions(mend_flags INTERFACE MEND_FAILPOINTS=1)
endif()
include(MendSanitizers)
