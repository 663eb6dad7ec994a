// ScratchMemory: where LLVM's containers live while a program is linked.
//
// JITLink keeps two sets for each section, and each function has a section of its own: a program of
// 10 000 functions takes 40 000 buffers, 30 MB. From malloc they took 40 % of the program's start,
// half of it in page faults, and what they left behind was the program's heap. So as long as a
// ScratchScope is there on a thread, LLVM's buffers (llvm::allocate_buffer, which this file defines
// in place of LLVM's own) come from one reservation with huge pages, which is given back as a
// whole.
//
// Thread safety: one load at a time uses it, on any number of threads; buffers may be given back on
// any.
#ifndef MEND_JIT_LINK_SCRATCH_MEMORY_H_
#define MEND_JIT_LINK_SCRATCH_MEMORY_H_

#include <cstddef>

namespace mend::jit {

// Buffers of this thread come from the scratch memory while it lives.
// What was taken under it should not outlive the load: it keeps all of the memory.
class ScratchScope {
 public:
  ScratchScope();
  ~ScratchScope();
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

 private:
  const bool was_inside_;
};

// Within a scope: buffers that are to stay.
class OutsideScratch {
 public:
  OutsideScratch();
  ~OutsideScratch();
  OutsideScratch(const OutsideScratch&) = delete;
  OutsideScratch& operator=(const OutsideScratch&) = delete;

 private:
  const bool was_inside_;
};

// The scopes of this thread use the memory of a load's thread of that number, below
// kScratchThreads; without a call, that of number zero.
inline constexpr size_t kScratchThreads = 4;
void UseScratchOfThread(size_t number);

// Gives the memory back, unless something is still there. Between scopes; at the end of a load.
void ReleaseScratchMemory();
// Whether something kept it from being given back.
bool HoldsScratchMemory();

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_SCRATCH_MEMORY_H_
