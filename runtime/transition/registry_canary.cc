// Canaries: a patch that some threads try first (beyond the kernel).
//
// It is a transition whose request asks only the threads that were chosen; all the rest stays as in
// any other. Slots lead to trampolines, each thread runs the version that its epoch says, threads
// that are created take their creator's state, modules come and go as in mid-transition. When the
// chosen ones have switched, the transition is held until it is promoted (a request that asks
// everybody), turned round, or forced.
#include <fnmatch.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/registry_state.h"

namespace mend {
namespace {

// Threads that have begun and not ended, the youngest first as far as their ids tell.
std::vector<ChosenThread> LiveThreads() {
  std::vector<ChosenThread> live;
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    const pid_t tid = record->tid.load(std::memory_order_relaxed);
    if (record->activity.Get() != Activity::kGone && tid != 0) live.push_back({tid, record});
  }
  std::sort(live.begin(), live.end(),
            [](const ChosenThread& a, const ChosenThread& b) { return a.tid > b.tid; });
  return live;
}

}  // namespace

std::vector<ChosenThread> PatchRegistry::State::ChooseCanaryLocked(const CanarySpec& canary) const {
  std::vector<ChosenThread> chosen;
  if (canary.empty()) return chosen;
  const std::vector<ChosenThread> live = LiveThreads();
  const size_t share = (live.size() * canary.percent + 99) / 100;
  const size_t most = canary.percent != 0 ? share : size_t{canary.threads};
  for (const ChosenThread& candidate : live) {
    const bool named = !canary.names.empty() &&
                       ::fnmatch(canary.names.c_str(), ThreadName(candidate.tid).c_str(), 0) == 0;
    if (canary.names.empty() ? chosen.size() < most : named) chosen.push_back(candidate);
  }
  return chosen;
}

void PatchRegistry::State::MarkCanaryLocked(const std::vector<ChosenThread>& chosen) {
  for (const auto& [tid, record] : chosen) {
    // ORDER[T1]: before the request is published. ORDER[T24]: reads what AddRecord wrote if it
    // comes after it, and then sees that the record has no id, or another thread's.
    record->canary.exchange(transition_->epoch(), std::memory_order_acq_rel);
    // The thread has ended, or runs a context, and somebody else has its record, or will: not him.
    if (record->tid.load(std::memory_order_relaxed) != tid) {
      record->canary.store(0, std::memory_order_relaxed);
    }
  }
  const std::string& name = transition_->patch()->name;
  events_->Append(MendEvent("canary_started", name,
                            absl::StrCat("canary of patch '", name, "' on ", chosen.size(),
                                         chosen.size() == 1 ? " thread" : " threads")));
}

void PatchRegistry::State::HoldCanaryLocked() {
  if (canary_held_) return;
  canary_held_ = true;
  const std::string& name = transition_->patch()->name;
  events_->Append(MendEvent(
      "canary_held", name,
      absl::StrCat("canary of patch '", name, "' is held until it is promoted or disabled")));
}

void PatchRegistry::State::PromoteLocked() {
  const std::string& name = transition_->patch()->name;
  events_->Append(
      MendEvent("canary_promoted", name, absl::StrCat("canary of patch '", name, "' is promoted")));
  transition_->Promote();
  coordinator_.Restart();
  StepLocked();
  Handshake::Get().WakeCoordinator();
}

}  // namespace mend
