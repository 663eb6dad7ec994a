#include "runtime/safepoint/blocked_region.h"

#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/thread_calls.h"

namespace mend {
namespace internal {

void PollBeforeBlocking(ThreadRecord* record) noexcept { AnswerPoll(record->anchor); }

void LeaveBlockedSlowPath(ThreadRecord* record) noexcept {
  // A claim lasts for one stack walk: microseconds, unless the claimer loses its processor.
  for (unsigned spin = 0;; ++spin) {
    if (record->activity.TryResume(Activity::kBlocked, Activity::kRunning)) return;
    // A SignalScope took the thread out of its region, and a longjmp or exception left the handler.
    if (record->activity.Get() == Activity::kRunning) return;
    if (spin < 64) {
      __builtin_ia32_pause();
    } else {
      ThreadCalls::Yield();
    }
  }
}

}  // namespace internal

SignalScope::SignalScope() noexcept {
  ThreadRecord* const record = tls_thread_words.record.load(std::memory_order_relaxed);
  if (record == nullptr) return;
  // Relaxed: plain stores of one thread, in this order; readers look at them around a look at the
  // kernel's view of the thread.
  record->handlers_begun.store(record->handlers_begun.load(std::memory_order_relaxed) + 1,
                               std::memory_order_relaxed);
  const auto here = reinterpret_cast<uintptr_t>(this);
  if (!record->HasLeftHandlers(here)) {
    depth_before_ = record->handler_depth.load(std::memory_order_relaxed);
  }
  if (depth_before_ == 0) record->outermost_handler = here;
  record->handler_depth.store(depth_before_ + 1, std::memory_order_relaxed);
  counted_ = true;
  // A host's thread may be claimed while it is outside, and stays there.
  if (record->AwaitUnclaimed() == Activity::kBlocked) {
    internal::LeaveBlockedSlowPath(record);
    was_blocked_ = true;
  }
  anchor_ = record->anchor;
  blocked_in_ = record->blocked_in.load(std::memory_order_relaxed);
}

SignalScope::~SignalScope() {
  ThreadRecord* const record = tls_thread_words.record.load(std::memory_order_relaxed);
  if (record == nullptr) return;
  if (counted_) {
    record->handler_depth.store(depth_before_, std::memory_order_relaxed);
    if (depth_before_ == 0) record->outermost_handler = 0;
  }
  record->anchor = anchor_;
  record->blocked_in.store(blocked_in_, std::memory_order_relaxed);
  if (!was_blocked_) return;
  record->activity.Set(Activity::kBlocked);
  record->AwaitSignal();
}

}  // namespace mend
