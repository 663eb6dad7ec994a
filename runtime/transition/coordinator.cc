#include "runtime/transition/coordinator.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/base/clock.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/system_threads.h"

namespace mend {
namespace {

constexpr int64_t kBackoffFirstNs = 50'000;
constexpr int64_t kBackoffMaxNs = 10'000'000;
// Polls that a thread may look at in vain per scan: at 1 to 2 us each, one in a hundred of its time
// when scans are 10 ms apart.
constexpr int kPollCredit = 64;
// A thread that was signalled in vain is in a function that lasts: asked again this often.
constexpr int64_t kSignalAgainNs = 20'000'000;
// Who is held up for less than this is not worth a mention.
constexpr int64_t kHeldUpNs = 1'000'000;

const char* HeldKind(SwitchResult reason) {
  switch (reason) {
    case SwitchResult::kOnStack:
      return "thread_on_stack";
    case SwitchResult::kUnreliableStack:
      return "thread_unreliable_stack";
    default:
      return "thread_running";
  }
}

bool IsDone(SwitchResult result) {
  return result == SwitchResult::kSwitched || result == SwitchResult::kAlreadySwitched;
}

}  // namespace

void Coordinator::Resume() {
  begin_ns_ = MonotonicNs();
  backoff_ns_ = 0;
}

void Coordinator::Restart() {
  Resume();
  direction_ns_ = begin_ns_;
}

void Coordinator::Begin(const std::string& patch) {
  Restart();
  patch_ = patch;
  poked_ = false;
  straggler_tid_ = 0;
  straggler_name_.clear();
  straggler_pc_ = {};
}

int64_t Coordinator::NextBackoffNs() {
  // Twice as long each time, so that a request that takes long costs little.
  backoff_ns_ = backoff_ns_ == 0 ? kBackoffFirstNs : std::min(backoff_ns_ * 2, kBackoffMaxNs);
  return backoff_ns_;
}

unsigned Coordinator::Scan(const SwitchRequest& request) {
  ThreadRegistry& registry = ThreadRegistry::Get();
  unsigned left;
  uint64_t births;
  do {
    // A thread that was created after the scan passed its place in the list may have inherited the
    // old state from one that switched before the scan came to it: look again.
    births = registry.births();
    left = 0;
    now_ns_ = MonotonicNs();
    request.left.store(0, std::memory_order_relaxed);
    for (ThreadRecord* record = registry.first(); record != nullptr; record = record->next) {
      if (!Visit(*record, request)) ++left;
    }
    // ORDER[T29]: what is left, before the answers; pairs with Handshake::CountDown.
    request.left.store(left, std::memory_order_seq_cst);
  } while (left == 0 ? registry.births() != births : CountUnanswered(request) < left);
  return left;
}

unsigned Coordinator::CountUnanswered(const SwitchRequest& request) {
  unsigned unanswered = 0;
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    // ORDER[T29]: see Scan.
    if (record->activity.Get() != Activity::kGone && request.Asks(*record) &&
        record->ack.load(std::memory_order_seq_cst) < request.generation) {
      ++unanswered;
    }
  }
  return unanswered;
}

bool Coordinator::Visit(ThreadRecord& record, const SwitchRequest& request) {
  const Activity activity = record.activity.Get();
  if (activity == Activity::kGone || !request.Asks(record)) return true;
  // ORDER[T5]: the ack before what the thread did before it; pairs with Handshake::Attempt.
  bool done = record.ack.load(std::memory_order_acquire) >= request.generation;
  if (!done) {
    switch (activity) {
      case Activity::kStarting:
      case Activity::kBlocked:
      case Activity::kOutside:
        done = VisitClaimable(record, activity, request);
        break;
      case Activity::kRunning:
        VisitRunning(record, request);
        break;
      case Activity::kClaimed:  // by the thread itself, which is being born
      case Activity::kGone:
        break;
    }
  }
  if (done) {
    ReportSwitched(record, request);
  } else {
    ReportHeld(record, request);
  }
  return done;
}

bool Coordinator::VisitClaimable(ThreadRecord& record, Activity activity,
                                 const SwitchRequest& request) {
  if (!record.activity.TryClaim(activity)) return false;
  const bool blocked = activity == Activity::kBlocked;
  if (blocked && record.suspended.load(std::memory_order_relaxed)) {
    return VisitSuspended(record, request);
  }
  const SwitchResult result = Handshake::Get().Attempt(
      record, request, blocked ? &record.anchor : nullptr,
      blocked ? SwitchWay::kBlocked
              : (activity == Activity::kStarting ? SwitchWay::kCreated : SwitchWay::kOutside));
  const bool done = IsDone(result);
  // A thread that is asleep whenever the scan comes by, always inside a held function, polls when
  // it wakes: at the latest where it enters the function again.
  if (!done && blocked) {
    record.poll_credit.store(kPollCredit, std::memory_order_relaxed);
    // ORDER[T4]: the request was published before the poll byte; pairs with AnswerPoll.
    record.words.load(std::memory_order_relaxed)->poll.store(1, std::memory_order_release);
  }
  record.activity.ReleaseClaim(activity);
  return done;
}

bool Coordinator::VisitSuspended(ThreadRecord& record, const SwitchRequest& request) {
  const StackCopy::Outcome copied = stack_copy_.Take(record);
  if (copied == StackCopy::Outcome::kStackGone) {
    ThreadRegistry::Get().ForgetContext(&record);
    return true;
  }
  // On no stack, where there is none to read: "not now".
  const bool taken = copied == StackCopy::Outcome::kTaken;
  const RegisterContext anchor = taken ? record.anchor : RegisterContext{};
  const SwitchResult result = Handshake::Get().Attempt(
      record, request, &anchor, SwitchWay::kBlocked, taken ? stack_copy_.displacement() : 0);
  record.activity.ReleaseClaim(Activity::kBlocked);
  return IsDone(result);
}

void Coordinator::VisitRunning(ThreadRecord& record, const SwitchRequest& request) {
  if (record.adopted.load(std::memory_order_relaxed)) {
    if (ThreadRegistry::Get().ReapAdopted(&record)) return;
    if (record.stack.high == 0 && record.anchor.rsp != 0 &&
        !record.signal_in_flight.load(std::memory_order_relaxed)) {
      ThreadRegistry::Get().FindStack(&record);
      record.signalled_ns = 0;
    }
  } else {
    // ORDER[T8]: pinned before reading the activity; pairs with ActivityWord::Set and EndThread.
    record.pinned.store(true, std::memory_order_seq_cst);
    // ORDER[T12]: the pointer before the words; pairs with ThreadRegistry::BindToCaller.
    ThreadWords* const words = record.words.load(std::memory_order_acquire);
    if (record.activity.Get() != Activity::kGone && words != nullptr) {
      record.poll_credit.store(kPollCredit, std::memory_order_relaxed);
      // ORDER[T4]: the request was published before the poll byte; pairs with AnswerPoll.
      words->poll.store(1, std::memory_order_release);
    }
    // ORDER[T8]: the words are not touched any more; pairs with ThreadRegistry::EndThread.
    record.pinned.store(false, std::memory_order_seq_cst);
  }
  if (record.straggler.transition_epoch.load(std::memory_order_relaxed) != request.epoch) {
    record.straggler.tries.store(0, std::memory_order_relaxed);
    record.straggler.reason.store(SwitchResult::kRunning, std::memory_order_relaxed);
    record.straggler.pc.store(0, std::memory_order_relaxed);
    record.straggler.since_ns.store(0, std::memory_order_relaxed);
    record.straggler.transition_epoch.store(request.epoch, std::memory_order_relaxed);
  }
  MaybeSignal(record);
}

void Coordinator::MaybeSignal(ThreadRecord& record) {
  const bool adopted = record.adopted.load(std::memory_order_relaxed);
  const int64_t age_ns = now_ns_ - begin_ns_;
  const bool first = record.signalled_ns < begin_ns_;
  // An adopted thread has no other way to answer.
  if (!adopted && age_ns < absl::ToInt64Nanoseconds(options_.signal_delay)) return;
  if (!first && now_ns_ - record.signalled_ns < kSignalAgainNs) return;
  if (!adopted && ThreadSleeps(record.tid.load(std::memory_order_relaxed))) {
    if (age_ns < absl::ToInt64Nanoseconds(options_.poke_interval)) return;
    if (!first &&
        now_ns_ - record.signalled_ns < absl::ToInt64Nanoseconds(options_.poke_interval)) {
      return;
    }
  }
  if (SendSafepointSignal(record)) record.signalled_ns = now_ns_;
}

void Coordinator::ReportSwitched(ThreadRecord& record, const SwitchRequest& request) {
  // A thread that has not begun has no id yet.
  if (!request.switches || record.tid.load(std::memory_order_relaxed) == 0) return;
  if (record.reported_epoch == request.epoch && record.reported_to_new == request.to_new) return;
  record.reported_epoch = request.epoch;
  record.reported_to_new = request.to_new;
  record.reported_pc = 0;
  record.reported_reason = SwitchResult::kSwitched;
  Event event;
  event.kind = "thread_switched";
  event.patch = patch_;
  event.tid = record.tid.load(std::memory_order_relaxed);
  events_->Append(std::move(event));
}

void Coordinator::ReportHeld(ThreadRecord& record, const SwitchRequest& request) {
  if (record.activity.Get() == Activity::kGone) return;
  if (record.straggler.since_ns.load(std::memory_order_relaxed) == 0) {
    record.straggler.since_ns.store(now_ns_, std::memory_order_relaxed);
  }
  const int64_t age_ns = now_ns_ - begin_ns_;
  if (!poked_ && request.switches &&
      now_ns_ - direction_ns_ >= absl::ToInt64Nanoseconds(options_.poke_interval)) {
    poked_ = true;
    events_->Append(LivepatchEvent("signaling", patch_, "signaling remaining tasks"));
  }
  if (age_ns < kHeldUpNs) return;
  const Straggler straggler = StragglerOf(record, request.epoch);
  const pid_t tid = record.tid.load(std::memory_order_relaxed);
  if (record.suspended.load(std::memory_order_relaxed)) {
    straggler_name_ = kSuspendedContext;
  } else if (straggler_tid_ != tid || tid == 0) {
    straggler_name_ = ThreadName(tid);
  }
  straggler_tid_ = tid;
  straggler_pc_ = straggler.pc;
  if (!request.switches) return;
  if (straggler.reason == record.reported_reason && straggler.pc.value == record.reported_pc) {
    return;
  }
  record.reported_reason = straggler.reason;
  record.reported_pc = straggler.pc.value;
  Event event;
  event.kind = HeldKind(straggler.reason);
  event.patch = patch_;
  event.object = straggler.pc.is_null() ? "" : loader_->Describe(straggler.pc);
  event.tid = tid;
  events_->Append(std::move(event));
}

Straggler Coordinator::StragglerOf(const ThreadRecord& record, uint32_t epoch) const {
  const StragglerWords& words = record.straggler;
  if (words.transition_epoch.load(std::memory_order_relaxed) != epoch) return {};
  return {.reason = words.reason.load(std::memory_order_relaxed),
          .pc = CodeAddress{words.pc.load(std::memory_order_relaxed)},
          .frame = static_cast<size_t>(words.frame.load(std::memory_order_relaxed)),
          .walk_end = words.walk_end.load(std::memory_order_relaxed),
          .tries = words.tries.load(std::memory_order_relaxed),
          .since_ns = words.since_ns.load(std::memory_order_relaxed)};
}

std::string Coordinator::DescribeStraggler() const {
  if (straggler_tid_ == 0 && straggler_name_.empty()) return "";
  std::string who = straggler_name_.empty() ? "thread" : straggler_name_;
  if (straggler_tid_ != 0) absl::StrAppend(&who, " (", straggler_tid_, ")");
  std::string function = straggler_pc_.is_null() ? "" : loader_->Describe(straggler_pc_);
  return absl::StrCat(who, function.empty() ? "" : " in ", function);
}

unsigned Coordinator::ForceLeft(const SwitchRequest& request) {
  unsigned forced = 0;
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    // ORDER[T8]: pinned before reading the activity; pairs with ActivityWord::Set and EndThread.
    record->pinned.store(true, std::memory_order_seq_cst);
    if (record->activity.Get() != Activity::kGone &&
        record->ack.load(std::memory_order_relaxed) < request.generation) {
      Handshake::Get().Force(*record, request);
      ++forced;
    }
    // ORDER[T8]: pairs with ThreadRegistry::EndThread.
    record->pinned.store(false, std::memory_order_seq_cst);
  }
  return forced;
}

}  // namespace mend
