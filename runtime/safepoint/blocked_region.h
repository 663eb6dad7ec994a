// BlockedRegion: a scope around a call that may sleep, below hosted frames. While the thread is in
// it, it is parked for the coordinator, which walks its stack from outside and switches it without
// waking it; no signal is sent, so the call sees no EINTR that the program did not cause.
//
//   ssize_t read(int fd, void* buffer, size_t size) {
//     BlockedRegion region("read");
//     return real_read(fd, buffer, size);
//   }
//
// Cost: eight stores, two comparisons, one exchange and one compare-and-swap (about 12 ns). Locks
// try first and enter only when they would wait. For a thread that is not registered the scope does
// nothing. Preserves errno.
//
// The destructor also runs when the call is left by an exception or by thread cancellation (forced
// unwinding). A signal handler that interrupts the region takes the thread out of it with
// SignalScope; so a longjmp out of the handler leaves a thread that is running.
//
// Nesting is allowed: an inner region does nothing.
#ifndef MEND_RUNTIME_SAFEPOINT_BLOCKED_REGION_H_
#define MEND_RUNTIME_SAFEPOINT_BLOCKED_REGION_H_

#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/thread_record.h"
#include "runtime/safepoint/thread_state.h"
#include "runtime/safepoint/unregistered_stack.h"

namespace mend {

namespace internal {

// Stores the registers of the function that this is inlined into. The unwind data of that function
// describes them at the label, and the frame stays where it is while the scope is open.
[[gnu::always_inline]] inline void CaptureRegisters(RegisterContext* to) noexcept {
  uintptr_t scratch;
  __asm__ volatile(
      "1: leaq 1b(%%rip), %0\n\t"
      "movq %0, 0(%1)\n\t"
      "movq %%rsp, 8(%1)\n\t"
      "movq %%rbp, 16(%1)\n\t"
      "movq %%rbx, 24(%1)\n\t"
      "movq %%r12, 32(%1)\n\t"
      "movq %%r13, 40(%1)\n\t"
      "movq %%r14, 48(%1)\n\t"
      "movq %%r15, 56(%1)"
      : "=&r"(scratch)
      : "r"(to)
      : "memory");
}

// Out of line: the poll byte is set, and the thread is about to block at its anchor.
void PollBeforeBlocking(ThreadRecord* record) noexcept;

// Out of line: the thread is claimed, and cannot go on before the coordinator is through.
void LeaveBlockedSlowPath(ThreadRecord* record) noexcept;

}  // namespace internal

class BlockedRegion {
 public:
  // `function` names the call for `mend threads`; a string literal.
  // Always inlined: the anchor is the caller's own frame, which stays on the stack.
  [[gnu::always_inline]] explicit BlockedRegion(const char* function) noexcept {
    ThreadRecord* const record = tls_thread_words.record.load(std::memory_order_relaxed);
    if (record == nullptr || record->activity.Get() != Activity::kRunning) return;
    record_ = record;
    internal::CaptureRegisters(&record->anchor);
    record->blocked_in.store(function, std::memory_order_relaxed);
    if (!record->stack.Contains(record->anchor.rsp)) [[unlikely]] {
      NoticeStack(*record, record->anchor, function);
    }
    // A thread that blocks often and briefly is seldom found asleep: let it look for itself.
    if (tls_thread_words.poll.load(std::memory_order_relaxed) != 0) [[unlikely]] {
      internal::PollBeforeBlocking(record);
    }
    record->activity.Set(Activity::kBlocked);
    record->AwaitSignal();
  }

  ~BlockedRegion() {
    if (record_ == nullptr) return;
    if (!record_->activity.TryResume(Activity::kBlocked, Activity::kRunning)) [[unlikely]] {
      internal::LeaveBlockedSlowPath(record_);
    }
  }

  BlockedRegion(const BlockedRegion&) = delete;
  BlockedRegion& operator=(const BlockedRegion&) = delete;

 private:
  ThreadRecord* record_ = nullptr;  // null: a nested region, or a thread that does not count
};

// Around a program's signal handler: if the interrupted thread was in a blocked region, takes it
// out (waiting while the coordinator looks at it), and puts it back when the handler returns. The
// anchor is still right then: the interrupted frames are below the handler.
// Async-signal-safe.
class SignalScope {
 public:
  SignalScope() noexcept;
  ~SignalScope();

  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

 private:
  bool counted_ = false;
  bool was_blocked_ = false;
  uint32_t depth_before_ = 0;
  // The handler's own blocked regions use the record's anchor, which a region that was about to be
  // entered may have filled already.
  RegisterContext anchor_;
  const char* blocked_in_ = nullptr;
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_BLOCKED_REGION_H_
