// longjmp and its kin: one that goes to another stack than the calling thread's is how coroutine
// libraries without assembler switch (a fiber that began in a signal handler on a stack of its
// own). Nobody sees what is suspended there, so it is noticed (unregistered_stack.h).
//
// Async-signal-safe: handlers jump.
#include <setjmp.h>

#include <bit>
#include <cstdint>
#include <type_traits>

#include "jit/guest_libc/next_function.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unregistered_stack.h"

using JumpTarget = std::remove_extent_t<jmp_buf>;

MEND_NEXT(void, longjmp, JumpTarget*, int);
MEND_NEXT(void, _longjmp, JumpTarget*, int);
MEND_NEXT(void, siglongjmp, JumpTarget*, int);
MEND_NEXT(void, __longjmp_chk, JumpTarget*, int);

namespace mend::jit {
namespace {

// As glibc has it on x86-64 (jmpbuf-offsets.h, pointer_guard.h): rotated, and xored with a word of
// the thread's header.
uintptr_t StackPointer(const JumpTarget& target) {
  constexpr int kStackPointer = 6;
  constexpr int kRotation = 17;
  uintptr_t guard = 0;
  __asm__("movq %%fs:0x30, %0" : "=r"(guard));
  return std::rotr(static_cast<uintptr_t>(target.__jmpbuf[kStackPointer]), kRotation) ^ guard;
}

void NoticeJumpTo(const JumpTarget& target) {
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record == nullptr) return;
  NoticeJump(*record, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)),
             StackPointer(target));
}

}  // namespace
}  // namespace mend::jit

MEND_INTERPOSE(void, longjmp, JumpTarget* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next_longjmp(target, value);
}

MEND_INTERPOSE(void, _longjmp, JumpTarget* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next__longjmp(target, value);
}

MEND_INTERPOSE(void, siglongjmp, JumpTarget* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next_siglongjmp(target, value);
}

MEND_INTERPOSE(void, __longjmp_chk, JumpTarget* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next___longjmp_chk(target, value);
}
