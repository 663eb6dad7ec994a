// ThreadRecord: the coordinator's view of one thread that may run hosted code (thread_state.h has
// the other half, and the table of activities).
//
// Invariants:
//  1. Records are never freed and never leave the registry's list; a record of a dead thread is
//     kGone and is used again.
//  2. Who may write what:
//     - `activity`: by the rules of ActivityWord;
//     - `epoch`, `ack`, the straggler: the thread itself while kRunning, whoever claimed the record
//       while kClaimed, and Force;
//     - `anchor`, `stack`, `alternate_stack`: the thread itself, while not claimable.
//  3. `words` may be dereferenced by another thread only while the record is claimed, or pinned and
//     then seen to be running: the words die with their thread.
//  4. The safepoint signal is sent only after `signal_in_flight` was raised and the thread was then
//     seen to be running; and a thread that stops running waits until the signal has arrived. So it
//     never interrupts a system call in a blocked region.
#ifndef MEND_RUNTIME_SAFEPOINT_THREAD_RECORD_H_
#define MEND_RUNTIME_SAFEPOINT_THREAD_RECORD_H_

#include <atomic>
#include <cstdint>

#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/thread_calls.h"
#include "runtime/safepoint/thread_state.h"

namespace mend {

// The activity of a thread; the methods are the legal changes.
class ActivityWord {
 public:
  Activity Get() const noexcept [[clang::nonblocking]] {
    // ORDER[T7,T8]: `signal_in_flight` and `pinned` raised before this load; pairs with
    // ActivityWord::Set.
    return word_.load(std::memory_order_seq_cst);
  }

  // The thread itself leaves kRunning (to kBlocked, kOutside, kGone), or a new record gets its
  // first activity.
  void Set(Activity next) noexcept [[clang::nonblocking]] {
    // ORDER[T2]: anchor and stack bounds before the claimable state; pairs with TryClaim.
    // ORDER[T7,T8]: the state before reading `signal_in_flight` and `pinned`; pairs with Get.
    word_.exchange(next, std::memory_order_seq_cst);
  }

  // The thread itself, from a claimable state: false while it is claimed.
  bool TryResume(Activity from, Activity to) noexcept [[clang::nonblocking]] {
    // ORDER[T3]: the claim's end before what the thread does next; pairs with ReleaseClaim.
    return word_.compare_exchange_strong(from, to, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }

  // The coordinator: `from` is kStarting, kBlocked or kOutside.
  bool TryClaim(Activity from) noexcept [[clang::nonblocking]] {
    // ORDER[T2]: the claimable state before reading the anchor; pairs with Set.
    return word_.compare_exchange_strong(from, Activity::kClaimed, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }

  // The claimer gives it back.
  void ReleaseClaim(Activity to) noexcept [[clang::nonblocking]] {
    // ORDER[T3]: the epoch written under the claim before its end; pairs with TryResume.
    word_.store(to, std::memory_order_release);
  }

 private:
  std::atomic<Activity> word_{Activity::kGone};
};

// Straggler, word by word: written without a lock, possibly by the thread itself. A reader may see
// parts of two attempts; it is for people only.
struct StragglerWords {
  std::atomic<uint32_t> transition_epoch{0};  // which transition the rest is about
  std::atomic<SwitchResult> reason{SwitchResult::kSwitched};
  std::atomic<uintptr_t> pc{0};
  std::atomic<uint64_t> frame{0};
  std::atomic<WalkEnd> walk_end{WalkEnd::kComplete};
  std::atomic<uint64_t> tries{0};
  std::atomic<int64_t> since_ns{0};  // written by the coordinator only
};

struct ThreadRecord {
  ActivityWord activity;

  // The newest generation of requests (handshake.h) that this thread is known to satisfy.
  std::atomic<uint64_t> ack{0};
  // The same as words->epoch; the only one while the thread is kStarting.
  std::atomic<uint32_t> epoch{0};
  std::atomic<bool> signal_in_flight{false};
  std::atomic<bool> pinned{false};
  // The thread is on its own slow path, or in the safepoint signal's handler. Read only by a
  // handler on the same thread.
  std::atomic<bool> in_slow_path{false};
  // How many more times a poll that did not succeed may ask for another one, see MendPollSlowPath.
  // Refilled by the coordinator.
  std::atomic<int> poll_credit{0};
  std::atomic<ThreadWords*> words{nullptr};
  std::atomic<pid_t> tid{0};
  // The program's signal handlers that the thread is in (or has left by longjmp, until the next
  // one: see HasLeftHandlers), and how many have begun.
  std::atomic<uint32_t> handler_depth{0};
  std::atomic<uint32_t> handlers_begun{0};
  std::atomic<const char*> blocked_in{nullptr};
  // An operating system thread that the registry found, rather than one that was announced: its
  // end is not announced either, so nobody writes to its words from outside.
  std::atomic<bool> adopted{false};
  // A context that no thread runs (thread_registry.h). It has no id and no words, and is kBlocked
  // at its anchor, or kStarting when it has not begun. Changes under the registry's adoption_mu_.
  std::atomic<bool> suspended{false};
  // The epoch of the transition whose canary the thread was chosen for; 0: none. Written under the
  // patch registry's mutex, before the request that asks it, and by who makes the record anew.
  std::atomic<uint32_t> canary{0};
  StragglerWords straggler;

  // Published by ActivityWord::Set.
  RegisterContext anchor;
  StackBounds stack;
  StackBounds alternate_stack;
  // Of a suspended context that has begun: where on its stack its record's address stands. Whoever
  // uses that memory for something else overwrites it.
  uintptr_t suspension_mark = 0;
  // Guarded by the registry's adoption_mu_: whether it is listed among the contexts, and then the
  // thread whose own stack it is; 0: nobody's.
  bool is_listed = false;
  pid_t stack_owner = 0;

  // Owning thread only.
  uint32_t enter_depth = 0;
  bool outside_when_left = false;  // the outermost Enter came from kOutside

  // Guarded by the patch registry's mutex: the coordinator's notes.
  int64_t signalled_ns = 0;
  uint32_t reported_epoch = 0;  // the transition whose switch of this thread was logged
  bool reported_to_new = false;
  uintptr_t reported_pc = 0;
  SwitchResult reported_reason = SwitchResult::kSwitched;

  // Written once, before the record is in the list.
  ThreadRecord* next = nullptr;
  // Guarded by the thread registry's mutex.
  ThreadRecord* next_free = nullptr;
  // Owning thread only: an address in the frame of the outermost of its handlers.
  uintptr_t outermost_handler = 0;

  // The thread itself, whose stack pointer is `rsp`: whether all handlers that it counts as being
  // in have been left by longjmp, since their frames are on its stack no more.
  bool HasLeftHandlers(uintptr_t rsp) const noexcept [[clang::nonblocking]] {
    if (handler_depth.load(std::memory_order_relaxed) == 0) return false;
    if (alternate_stack.Contains(outermost_handler)) {
      return stack.Contains(rsp) && !alternate_stack.Contains(rsp);
    }
    return stack.Contains(outermost_handler) && stack.Contains(rsp) && outermost_handler < rsp;
  }

  // The thread itself: what it is doing, once nobody is looking at it any more.
  Activity AwaitUnclaimed() const noexcept [[clang::nonblocking]] {
    Activity now;
    while ((now = activity.Get()) == Activity::kClaimed) ThreadCalls::Yield();
    return now;
  }

  // The thread itself, after it stopped running: waits until nobody is about to signal it. Short:
  // the signal cannot be masked and is delivered as soon as it is sent. Bounded all the same, for
  // a thread that blocked it by a raw system call: such a thread may see an EINTR, no worse.
  void AwaitSignal() noexcept [[clang::nonblocking]] {
    constexpr int kYieldsMax = 100'000;
    // ORDER[T7]: the activity before this load; pairs with SendSafepointSignal.
    for (int yields = 0; signal_in_flight.load(std::memory_order_seq_cst) && yields < kYieldsMax;
         ++yields) {
      ThreadCalls::Yield();
    }
  }
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_THREAD_RECORD_H_
