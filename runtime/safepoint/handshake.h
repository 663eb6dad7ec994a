// Handshake: what the coordinator asks of every thread, and how a thread answers.
//
// A SwitchRequest is immutable and has a generation, larger than all before it. A thread satisfies
// it when its stack was found clean of the forbidden ranges (or it had nothing to do), and says so
// by its `ack`. There are two kinds: requests that switch (a transition and its reversals), and
// requests that only look (the grace period after a transition; "is anybody still in this text?").
//
// Order rule, on every path: clear the poll byte, then read the request, then check, then switch,
// then publish the ack with that request's generation. A request that is replaced in between is
// then not acknowledged by accident.
//
// Thread safety: Publish is for the coordinator (whoever holds the patch registry's mutex); the
// rest may run on any thread and in signal handlers.
#ifndef MEND_RUNTIME_SAFEPOINT_HANDSHAKE_H_
#define MEND_RUNTIME_SAFEPOINT_HANDSHAKE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/code_address.h"
#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/stack_check.h"
#include "runtime/safepoint/thread_record.h"

namespace mend {

// How a thread was switched; indexes SwitchRequest counters.
enum class SwitchWay : uint8_t { kOutside, kBlocked, kPoll, kSignal, kForced, kCreated };
inline constexpr size_t kSwitchWays = 6;

// How often threads switched in each way. Relaxed counters: for people.
struct SwitchTally {
  std::atomic<uint64_t> ways[kSwitchWays] = {};
};

struct SwitchRequest {
  uint64_t generation = 0;
  // The transition's epoch: a thread is switched when its own is at least this.
  uint32_t epoch = 0;
  bool to_new = false;    // the target: switched, or (reversed, cancelled) not switched
  bool switches = false;  // false: only look
  // A canary: of the threads that are there, those that were chosen for this epoch switch; the
  // others keep their state until a later request of the transition. A look that is published in
  // between carries it too, for the threads that join under it. REQUIRES: to_new.
  bool canary = false;
  // Sorted and disjoint. What must be on no stack.
  std::vector<CodeRange> forbidden;
  // Text whose stubs decide by the epoch: no thread may switch in the middle of one. The
  // transition's own may be rewound to the beginning of the stub; older ones may not, since their
  // branches know nothing of this transition.
  std::vector<CodeRange> trampolines;          // sorted; each a batch of its own
  std::vector<CodeRange> retired_trampolines;  // sorted
  SwitchTally* tally = nullptr;                // outlives the request

  // Threads that the latest scan left; whoever switches itself counts it down, the last wakes the
  // coordinator. Inexact while threads come and go, and zero while a scan goes on: the coordinator
  // looks again anyway.
  mutable std::atomic<uint32_t> left{0};

  // The epoch of a thread that meets the target.
  uint32_t target_epoch() const noexcept [[clang::nonblocking]] {
    return to_new ? epoch : epoch - 1;
  }
  // What a thread begins with that has nobody to inherit from.
  uint32_t joining_epoch() const noexcept [[clang::nonblocking]] {
    return canary ? epoch - 1 : target_epoch();
  }
  // Whether the request wants an answer of that thread.
  bool Asks(const ThreadRecord& record) const noexcept [[clang::nonblocking]] {
    // ORDER[T1]: the mark was written before the request was published.
    return !canary || !switches || record.canary.load(std::memory_order_relaxed) == epoch;
  }
  bool Meets(uint32_t thread_epoch) const noexcept [[clang::nonblocking]] {
    return (thread_epoch >= epoch) == to_new;
  }
};

// Trampolines are this far apart, and begin at multiples of it from their range's begin.
inline constexpr size_t kTrampolineSize = 48;
// Where in a trampoline its poll's slow path returns to; the decision follows.
inline constexpr size_t kTrampolinePollReturn = 44;

class Handshake {
 public:
  constexpr Handshake() = default;
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  // The one of this process; constant-initialised, never destroyed.
  static Handshake& Get() noexcept [[clang::nonblocking]];

  // The next generation and the next transition's epoch. Never reused, whatever becomes of them.
  uint64_t NextGeneration() { return ++last_generation_; }
  uint32_t NextEpoch();

  // Makes `request` the one that threads answer. It must stay until every thread has acknowledged a
  // later one.
  void Publish(const SwitchRequest* request);
  // Null before the first transition.
  const SwitchRequest* Current() const noexcept [[clang::nonblocking]] {
    // ORDER[T1]: the request before what it says of slots, entries and epochs; pairs with Publish.
    // ORDER[T6]: after the record was listed; pairs with Publish.
    return current_.load(std::memory_order_seq_cst);
  }

  // Tries to satisfy `request` for `record`'s thread: called by that thread itself, or by whoever
  // claimed it. `context` is where its innermost frame is; null when it has no hosted frame.
  // Of a suspended context, the bytes of whose stack may go any time, a copy is walked, which lies
  // `displacement` further on. Updates the record's straggler on failure.
  SwitchResult Attempt(ThreadRecord& record, const SwitchRequest& request,
                       const RegisterContext* context, SwitchWay way,
                       uintptr_t displacement = 0) noexcept [[clang::nonblocking]];

  // The thread itself, without any hosted frame on its stack: takes the target state.
  void SwitchAtBoundary(ThreadRecord& record) noexcept [[clang::nonblocking]];

  // A new record, already listed, that has no frames yet and nobody to inherit from: takes the
  // target state of the current request; a canary's others' state, if it is one.
  void Join(ThreadRecord& record) noexcept [[clang::nonblocking]];

  // Switches without looking. The caller pinned or claimed the record.
  void Force(ThreadRecord& record, const SwitchRequest& request) noexcept;

  // The coordinator sleeps on this word; wakes are for it alone.
  std::atomic<uint32_t>& wake_word() { return wake_word_; }
  void WakeCoordinator() noexcept [[clang::nonblocking]] {
    // ORDER[T11]: what was done before the new value; pairs with Coordinator::Sleep.
    wake_word_.fetch_add(1, std::memory_order_release);
    FutexWake(&wake_word_, 1);
  }

 private:
  void CountDown(const SwitchRequest& request) noexcept [[clang::nonblocking]];

  std::atomic<const SwitchRequest*> current_{nullptr};
  std::atomic<uint32_t> wake_word_{0};
  // Guarded by the patch registry's mutex.
  uint64_t last_generation_ = 0;
  uint32_t last_epoch_ = 1;
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_HANDSHAKE_H_
