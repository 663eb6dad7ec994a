// longjmp and its kin: one that goes to another stack than the calling thread's is how coroutine
// libraries without assembler switch (a fiber that began in a signal handler on a stack of its
// own). Nobody sees what is suspended there, so it is noticed (unregistered_stack.h).
//
// Async-signal-safe: handlers jump.
#include <setjmp.h>

#include <bit>
#include <cstdint>

#include "jit/guest_libc/next_function.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unregistered_stack.h"

MEND_NEXT(void, longjmp, __jmp_buf_tag*, int);
MEND_NEXT(void, _longjmp, __jmp_buf_tag*, int);
MEND_NEXT(void, siglongjmp, __jmp_buf_tag*, int);
MEND_NEXT(void, __longjmp_chk, __jmp_buf_tag*, int);

namespace mend::jit {
namespace {

// As glibc has it on x86-64 (jmpbuf-offsets.h, pointer_guard.h): rotated, and xored with a word of
// the thread's header.
uintptr_t StackPointer(const __jmp_buf_tag& target) {
  constexpr int kStackPointer = 6;
  constexpr int kRotation = 17;
  uintptr_t guard = 0;
  __asm__("movq %%fs:0x30, %0" : "=r"(guard));
  return std::rotr(static_cast<uintptr_t>(target.__jmpbuf[kStackPointer]), kRotation) ^ guard;
}

void NoticeJumpTo(const __jmp_buf_tag& target) {
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record == nullptr) return;
  NoticeJump(*record, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)),
             StackPointer(target));
}

}  // namespace
}  // namespace mend::jit

MEND_INTERPOSE(void, longjmp, __jmp_buf_tag* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next_longjmp(target, value);
}

MEND_INTERPOSE(void, _longjmp, __jmp_buf_tag* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next__longjmp(target, value);
}

MEND_INTERPOSE(void, siglongjmp, __jmp_buf_tag* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next_siglongjmp(target, value);
}

MEND_INTERPOSE(void, __longjmp_chk, __jmp_buf_tag* target, int value) {
  mend::jit::NoticeJumpTo(*target);
  next___longjmp_chk(target, value);
}
