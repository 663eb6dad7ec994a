#include "runtime/safepoint/handshake.h"

#include "runtime/base/check.h"
#include "runtime/safepoint/thread_calls.h"

namespace mend {
namespace {

// A union, so that no destructor runs at exit: threads of the program may still be running then.
union Holder {
  constexpr Holder() : handshake() {}
  ~Holder() {}
  Handshake handshake;
};
constinit Holder holder;

void SetEpoch(ThreadRecord& record, uint32_t epoch) noexcept [[clang::nonblocking]] {
  record.epoch.store(epoch, std::memory_order_relaxed);
  ThreadWords* const words = record.words.load(std::memory_order_relaxed);
  if (words != nullptr) words->epoch.store(epoch, std::memory_order_relaxed);
}

void RecordFailure(ThreadRecord& record, const SwitchRequest& request,
                   const StackCheckResult& result) noexcept [[clang::nonblocking]] {
  StragglerWords& straggler = record.straggler;
  if (straggler.transition_epoch.load(std::memory_order_relaxed) != request.epoch) {
    straggler.tries.store(0, std::memory_order_relaxed);
    straggler.since_ns.store(0, std::memory_order_relaxed);
    straggler.transition_epoch.store(request.epoch, std::memory_order_relaxed);
  }
  straggler.tries.fetch_add(1, std::memory_order_relaxed);
  straggler.pc.store(result.pc.value, std::memory_order_relaxed);
  straggler.frame.store(result.frame, std::memory_order_relaxed);
  straggler.walk_end.store(result.walk_end, std::memory_order_relaxed);
  straggler.reason.store(result.reason, std::memory_order_relaxed);
}

}  // namespace

Handshake& Handshake::Get() noexcept [[clang::nonblocking]] { return holder.handshake; }

uint32_t Handshake::NextEpoch() {
  MEND_CHECK(last_epoch_ < UINT32_MAX - 1, "there have been four billion transitions");
  return ++last_epoch_;
}

void Handshake::Publish(const SwitchRequest* request) {
  // ORDER[T1]: slots, entries and the request's contents before the request; pairs with
  // Handshake::Current.
  // ORDER[T6]: the request before the scan reads the list of records; pairs with Current, which a
  // new thread calls after it was listed. One of the two sees the other.
  current_.store(request, std::memory_order_seq_cst);
}

SwitchResult Handshake::Attempt(ThreadRecord& record, const SwitchRequest& request,
                                const RegisterContext* context, SwitchWay way,
                                uintptr_t displacement) noexcept [[clang::nonblocking]] {
  if (record.ack.load(std::memory_order_relaxed) >= request.generation) {
    return SwitchResult::kAlreadySwitched;
  }
  if (!request.Asks(record)) return SwitchResult::kNotAsked;
  const bool meets =
      request.switches && request.Meets(record.epoch.load(std::memory_order_relaxed));
  if (!meets && context != nullptr) {
    const WalkOptions options{.stack = record.stack,
                              .alternate_stack = record.alternate_stack,
                              .displacement = displacement};
    const StackCheckResult result = CheckStack(*context, options, request);
    if (result.reason != SwitchResult::kSwitched) {
      RecordFailure(record, request, result);
      return result.reason;
    }
  }
  if (request.switches && !meets) {
    SetEpoch(record, request.target_epoch());
    request.tally->ways[static_cast<size_t>(way)].fetch_add(1, std::memory_order_relaxed);
  }
  // ORDER[T5]: the new epoch, and all that the thread did in the old state, before the ack; pairs
  // with Coordinator::Visit.
  // ORDER[T29]: and the ack before what is left; see CountDown.
  record.ack.store(request.generation, std::memory_order_seq_cst);
  CountDown(request);
  return meets ? SwitchResult::kAlreadySwitched : SwitchResult::kSwitched;
}

void Handshake::CountDown(const SwitchRequest& request) noexcept [[clang::nonblocking]] {
  // ORDER[T29]: the ack before what a scan left; pairs with Coordinator::Scan, which looks at the
  // acks again: it finds this one, or it is counted down here.
  uint32_t left = request.left.load(std::memory_order_seq_cst);
  while (left != 0 &&
         !request.left.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {
  }
  if (left != 1) return;
  // While a transition runs the coordinator looks again by itself, if it cannot be woken.
  // ORDER[T11]: as in WakeCoordinator.
  wake_word_.fetch_add(1, std::memory_order_release);
  ThreadCalls::Wake(&wake_word_, 1);
}

void Handshake::SwitchAtBoundary(ThreadRecord& record) noexcept [[clang::nonblocking]] {
  const SwitchRequest* const request = Current();
  if (request != nullptr) Attempt(record, *request, nullptr, SwitchWay::kOutside);
}

void Handshake::Join(ThreadRecord& record) noexcept [[clang::nonblocking]] {
  const SwitchRequest* const request = Current();
  if (request == nullptr) {
    SetEpoch(record, 1);
    return;
  }
  SetEpoch(record, request->joining_epoch());
  // ORDER[T5]: the epoch before the ack; pairs with Coordinator::Visit.
  record.ack.store(request->generation, std::memory_order_release);
}

void Handshake::Force(ThreadRecord& record, const SwitchRequest& request) noexcept {
  if (record.adopted.load(std::memory_order_relaxed)) {
    record.epoch.store(request.target_epoch(), std::memory_order_relaxed);
  } else {
    SetEpoch(record, request.target_epoch());
  }
  request.tally->ways[static_cast<size_t>(SwitchWay::kForced)].fetch_add(1,
                                                                         std::memory_order_relaxed);
  // ORDER[T5]: the epoch before the ack; pairs with Coordinator::Visit.
  record.ack.store(request.generation, std::memory_order_release);
}

}  // namespace mend
