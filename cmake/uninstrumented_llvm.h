// Included first by what uses LLVM in a build with AddressSanitizer.
//
// LLVM's allocators poison what they have not handed out, in header code. The libraries are
// compiled without AddressSanitizer: their copy of the same functions hands memory out without
// unpoisoning it, and our code would be blamed for reading it. So ours does not poison either.
#ifndef MEND_CMAKE_UNINSTRUMENTED_LLVM_H_
#define MEND_CMAKE_UNINSTRUMENTED_LLVM_H_

#include <llvm/Support/Compiler.h>

#undef LLVM_ADDRESS_SANITIZER_BUILD
#define LLVM_ADDRESS_SANITIZER_BUILD 0
#define __asan_poison_memory_region(p, size)
#define __asan_unpoison_memory_region(p, size)

#endif  // MEND_CMAKE_UNINSTRUMENTED_LLVM_H_
