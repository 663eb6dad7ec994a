// PatchRegistry::State: what the registry keeps, and the steps it takes, all under one mutex.
//
// A transition goes through two phases. kSwitching: scans until every thread has acknowledged.
// Then it completes: slots and entries settle. kGrace: until every thread was seen outside of the
// trampolines, or for a bounded time. What is still in use then is kept, and looked after in the
// background (`leftovers_`), so that a thread which cannot be walked holds up nothing but its own
// trampolines.
//
// The mutex is held for single steps only, each a scan at most, so that fork never waits long.
#ifndef MEND_RUNTIME_TRANSITION_REGISTRY_STATE_H_
#define MEND_RUNTIME_TRANSITION_REGISTRY_STATE_H_

#include <pthread.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "runtime/base/mutex.h"
#include "runtime/patch/redirection_table.h"
#include "runtime/transition/coordinator.h"
#include "runtime/transition/patch_registry.h"
#include "runtime/transition/transition.h"

namespace mend {

class PatchRegistry::State {
 public:
  State(CodeHost* host, PatchLoader* loader, EventLog* events, const RegistryOptions& options)
      : host_(host),
        loader_(loader),
        events_(events),
        options_(options),
        coordinator_(loader, events, options) {}
  ~State();

  // The kernel's klp_mutex. Before ThreadRegistry's and EventLog's.
  Mutex mu;

  // --- what the registry's methods are made of (patch_registry.cc) ---

  // While a transition is about to finish nothing else can begin: waits for that, which is short.
  void AwaitGraceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // UNAVAILABLE ("EBUSY: ...") while a transition runs.
  absl::Status CheckIdleLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status StartLocked(Patch* patch, bool patching) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status ReverseLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ForceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Whether every thread is off the patch's text: UNAVAILABLE names one that is not.
  absl::Status CheckUnusedLocked(const Patch& patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // By its name, or the newest generation of a bare name. Null if there is none.
  Patch* FindLocked(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The generation of `name` with that content that is enabled or in transition, or null.
  Patch* FindSameLocked(const std::string& name, const std::string& content_hash) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // `name`, or its next free generation.
  std::string FreeNameLocked(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  Patch* AddLocked(std::unique_ptr<Patch> patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void EraseLocked(const Patch* patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  Transition* transition() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return transition_.get(); }
  bool InTransitionLocked(const Patch* patch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return transition_ != nullptr && transition_->patch() == patch;
  }
  std::string StragglerLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return coordinator_.DescribeStraggler();
  }
  const TransitionReport& last() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return last_; }
  // registry_status.cc
  CoreStatus StatusLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  std::vector<ThreadStatus> ThreadsLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // --- the coordinator's thread ---

  absl::Status EnsureCoordinatorLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void StopCoordinator();
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  enum class Phase : uint8_t { kSwitching, kGrace };

  // Stubs that threads may still stand in, and the requests they may still read.
  struct Leftovers {
    std::vector<std::unique_ptr<SwitchRequest>> requests;
    std::vector<std::unique_ptr<SwitchTally>> tallies;
    std::vector<CodeRange> trampolines;
    bool empty() const { return trampolines.empty() && tallies.empty(); }
  };

  static void* RunCoordinator(void* state);
  void CoordinatorLoop();
  // Goes as far as it can. Returns how long to sleep before the next step.
  int64_t StepLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  bool AllSwitchedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void CompleteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void FinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void CancelLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ReportCompletionLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Publishes a request that only looks.
  void LookLocked(std::vector<CodeRange> forbidden) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Whether every thread has answered the look; then what is left over goes.
  bool LookDoneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void TakeLeftoversLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  std::vector<CodeRange> LeftoverTrampolinesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void AdoptLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  CodeHost* const host_;
  PatchLoader* const loader_;
  EventLog* const events_;
  const RegistryOptions options_;

  std::vector<std::unique_ptr<Patch>> patches_ ABSL_GUARDED_BY(mu);  // in the order of adding
  std::vector<Patch*> active_ ABSL_GUARDED_BY(mu);  // enabled or in transition, in load order
  RedirectionTable table_ ABSL_GUARDED_BY(mu);
  Coordinator coordinator_ ABSL_GUARDED_BY(mu);
  std::unique_ptr<Transition> transition_ ABSL_GUARDED_BY(mu);
  Phase phase_ ABSL_GUARDED_BY(mu) = Phase::kSwitching;
  Leftovers leftovers_ ABSL_GUARDED_BY(mu);
  // The look that threads answer now, or the last; null before the first.
  std::unique_ptr<SwitchRequest> look_ ABSL_GUARDED_BY(mu);
  bool look_answered_ ABSL_GUARDED_BY(mu) = true;
  int unclear_adoptions_ ABSL_GUARDED_BY(mu) = 0;  // attempts left to find all threads
  TransitionReport last_ ABSL_GUARDED_BY(mu);
  TransitionReport report_ ABSL_GUARDED_BY(mu);  // of the transition that runs
  int64_t begin_ns_ ABSL_GUARDED_BY(mu) = 0;
  int64_t started_ns_ ABSL_GUARDED_BY(mu) = 0;
  int64_t switched_ns_ ABSL_GUARDED_BY(mu) = 0;

  pthread_t coordinator_thread_ ABSL_GUARDED_BY(mu) = {};
  bool coordinator_runs_ ABSL_GUARDED_BY(mu) = false;
  bool stop_ ABSL_GUARDED_BY(mu) = false;
};

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_REGISTRY_STATE_H_
