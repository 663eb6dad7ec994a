// A piece of hosted memory, as a program header would describe it.
#ifndef MEND_JIT_LINK_MEMORY_RANGE_H_
#define MEND_JIT_LINK_MEMORY_RANGE_H_

#include <cstdint>

namespace mend::jit {

struct MemoryRange {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  int protection = 0;  // PROT_READ, PROT_WRITE, PROT_EXEC
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_MEMORY_RANGE_H_
