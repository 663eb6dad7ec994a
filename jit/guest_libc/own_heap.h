// OwnHeap: memory of mend's own, for programs that bring their own malloc (stand_ins.h). What
// libraries and mend allocate before the program's can serve them comes from here, and what threads
// allocate that are not the program's. A block is known by its address, so that any of the
// program's functions may be asked to take it back.
//
// Blocks of a few sizes are carved from chunks of addresses, and kept by size when they are free.
// Chunks are never given back.
//
// Thread safety: all functions are thread-safe and lock-free, so that a fork in the middle of one
// does no harm. No function calls libc.
#ifndef MEND_JIT_GUEST_LIBC_OWN_HEAP_H_
#define MEND_JIT_GUEST_LIBC_OWN_HEAP_H_

#include <cstddef>
#include <cstdint>

namespace mend::jit {

class OwnHeap {
 public:
  static constexpr size_t kAlignment = 16;

  // `alignment`: a power of two. Null when there is no memory.
  static void* Allocate(size_t size, size_t alignment = kAlignment) noexcept;
  // REQUIRES: Owns(block).
  static void Free(void* block) noexcept;
  static size_t UsableSize(const void* block) noexcept;

  static bool Owns(const void* address) noexcept;

  // Gives memory of free blocks back to the system, pages as a whole. Their addresses are lost, so
  // it is for once, after the many allocations of a link.
  static void Trim() noexcept;
};

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_OWN_HEAP_H_
