// PatchRegistry::State: what the registry keeps, and the steps it takes, all under one mutex.
//
// A transition goes through two phases. kSwitching: scans until every thread that is asked has
// acknowledged (a canary then stays in this phase, and nothing is done for it). Then it completes:
// slots and entries settle. kGrace: until every thread was seen outside of the trampolines, or for
// a bounded time. What is still in use then is kept, and looked after in the background
// (`leftovers_`), so that a thread which cannot be walked holds up nothing but its own trampolines.
//
// The mutex is held for single steps only, each a scan at most, so that fork never waits long.
#ifndef MEND_RUNTIME_TRANSITION_REGISTRY_STATE_H_
#define MEND_RUNTIME_TRANSITION_REGISTRY_STATE_H_

#include <pthread.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "runtime/base/mutex.h"
#include "runtime/patch/redirection_table.h"
#include "runtime/safepoint/unregistered_stack.h"
#include "runtime/transition/callbacks.h"
#include "runtime/transition/coordinator.h"
#include "runtime/transition/patch_registry.h"
#include "runtime/transition/transition.h"

namespace mend {

// A thread that a canary is for.
struct ChosenThread {
  pid_t tid;
  ThreadRecord* record;
};

// A patch that has been taken off the registry's list for a while, and where it was.
struct PatchAside {
  std::unique_ptr<Patch> patch;
  size_t place = 0;
};

class PatchRegistry::State {
 public:
  State(CodeHost* host, PatchLoader* loader, EventLog* events, const RegistryOptions& options)
      : host_(host),
        loader_(loader),
        events_(events),
        options_(options),
        callbacks_(events, options.program_name, options.initialize_thread),
        coordinator_(loader, events, options) {}
  ~State();

  // The kernel's klp_mutex. Before ThreadRegistry's and EventLog's. Held while callbacks run.
  Mutex mu;

  const Callbacks& callbacks() const { return callbacks_; }
  const std::string& program_name() const { return options_.program_name; }
  // EDEADLK on a thread that runs a callback. Before taking `mu`.
  absl::Status CheckNoCallback(const char* what) const;

  // --- what the registry's methods are made of (patch_registry.cc) ---

  // While a transition is about to finish nothing else can begin: waits for that, which is short.
  void AwaitGraceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // UNAVAILABLE ("EBUSY: ...") while a transition runs.
  absl::Status CheckIdleLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // EBUSY when threads have been seen on stacks that nobody told of (unregistered_stack.h): what is
  // suspended on them may be in any text.
  absl::Status CheckStacksLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // SR1. Logs.
  absl::Status CheckStatesLocked(const Patch& patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Whether the patch keeps to its set: EINVAL names the function that an active patch of another
  // set patches, too. As far as objects are loaded by entry, else by name and position.
  absl::Status CheckSetLocked(const Patch& patch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // What enabling needs, with nothing visible: loaded objects resolved, nops made. A failure leaves
  // the patch as it was.
  absl::Status PrepareLocked(Patch* patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // REQUIRES: prepared, if patching. A failure takes the preparation back.
  // `restored`: active again when the patch is off (unpatching only). `canary`: patching only;
  // NOT_FOUND when it chooses nobody.
  absl::Status StartLocked(Patch* patch, bool patching, std::vector<Patch*> restored = {},
                           const CanarySpec& canary = {}) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Reverts the last apply; its patch's name.
  absl::StatusOr<std::string> RevertLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status ReverseLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ForceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Who is in what the patch would replace or hold. REQUIRES: prepared, no transition.
  std::vector<ThreadStatus> ExamineLocked(const Patch& patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Whether every thread is off the patch's text: UNAVAILABLE names one that is not.
  absl::Status CheckUnusedLocked(const Patch& patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // --- canaries (registry_canary.cc) ---

  // REQUIRES: a canary runs.
  void PromoteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  bool CanaryHeldLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return transition_ != nullptr && transition_->canary() && canary_held_;
  }

  // --- objects that come and go (registry_modules.cc) ---

  absl::Status ModuleComingLocked(mend_object* module) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ModuleGoingLocked(mend_object* module) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status CheckTextUnusedLocked(const std::string& module, std::vector<CodeRange> text)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  mend_state* PreviousStateLocked(unsigned long id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // The active patches that a cumulative patch takes with it: those of its set, in load order.
  std::vector<Patch*> ReplacedByLocked(const Patch& patch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // By its name, or the newest generation of a bare name. Null if there is none.
  Patch* FindLocked(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The generation of `name` with that content that is enabled or in transition, or null.
  Patch* FindSameLocked(const Patch& patch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // `name`, or its next free generation.
  std::string FreeNameLocked(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  Patch* AddLocked(std::unique_ptr<Patch> patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void EraseLocked(const Patch* patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes the same patch, disabled and unused, off the list; null without one.
  PatchAside SetAsideLocked(const Patch& patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void PutBackLocked(PatchAside aside) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Further generations of the same patch, which were in use when the next one came, and are of no
  // more use.
  std::vector<const Patch*> SpareLocked(const Patch& patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  Transition* transition() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return transition_.get(); }
  bool InTransitionLocked(const Patch* patch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return transition_ != nullptr && transition_->patch() == patch;
  }
  std::string StragglerLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // For people.
  std::string DescribeStack(const UnregisteredStack& stack) const;
  const TransitionReport& last() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return last_; }
  // registry_status.cc
  CoreStatus StatusLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  std::vector<ThreadStatus> ThreadsLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // --- the coordinator's thread ---

  absl::Status EnsureCoordinatorLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The same, if there is anything for it to do: a forked child may have found no thread for it.
  absl::Status ReviveCoordinatorLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void StopCoordinator();
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  friend class simulation::RegistryInspector;
  enum class Phase : uint8_t { kSwitching, kGrace };

  // Stubs that threads may still stand in, and the requests they may still read.
  struct Leftovers {
    std::vector<std::unique_ptr<SwitchRequest>> requests;
    std::vector<std::unique_ptr<SwitchTally>> tallies;
    std::vector<CodeRange> trampolines;
    bool empty() const { return trampolines.empty() && tallies.empty(); }
  };

  // Marks the object loaded and fills in its functions' places. A failure forgets them.
  absl::Status ResolveLocked(Patch* patch, PatchObject* object, mend_object* module)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ForgetLocked(Patch* patch, PatchObject* object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // What was linked for the object is still to be looked for on stacks, when it goes.
  void KeepLateTextLocked(const PatchObject& object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status ResolveHeldLocked(Patch* patch, const std::string& module)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status ApplyToModuleLocked(Patch* patch, PatchObject* object, mend_object* module)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status HookLocked(Patch* patch, PatchObject* object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes the first `count` active patches off the module, in load order, with their callbacks.
  void TakeOffModuleLocked(mend_object* module, size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Nothing of the module is known any more.
  void DropModuleLocked(mend_object* module) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Has all threads answer the transition's request again.
  void PublishAnewLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void LogModule(const char* kind, const Patch& patch, const mend_object& module,
                 const std::string& text);
  // The loaded object of that name; empty: the program. Null if there is none.
  mend_object* LoadedObjectLocked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // What the newest apply of an enabled patch did; null if there is none.
  struct Apply {
    Patch* patch;
    std::vector<Patch*> replaced;
    // One of those was removed since; or taken off, with its callbacks.
    std::string removed;
    std::string undone;
  };
  const Apply* LastApplyLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status PrepareRestoredLocked(Patch* patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void DropActiveLocked(const std::vector<Patch*>& patches) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void NoteUndoneLocked(const Patch* patch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void KeepHistoryLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // Whom the canary is for; none when it names nobody.
  std::vector<ChosenThread> ChooseCanaryLocked(const CanarySpec& canary) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Marks them for the transition. Their requests are yet to be published.
  void MarkCanaryLocked(const std::vector<ChosenThread>& chosen) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // All that were chosen have switched: nothing goes on until somebody says how.
  void HoldCanaryLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  static void* RunCoordinator(void* state);
  void CoordinatorLoop();
  // Goes as far as it can. Returns how long to sleep before the next step.
  int64_t StepLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  bool AllSwitchedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void CompleteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void FinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void CancelLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ReportCompletionLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Publishes a request that only looks. In mid-transition it takes the place of the transition's:
  // publish that again.
  void LookLocked(std::vector<CodeRange> forbidden) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Waits for the answers; false when threads are left at the time-out.
  bool AwaitLookLocked(int64_t timeout_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // What holds a thread up that has not answered `request`.
  void DescribeHoldLocked(const ThreadRecord& record, const SwitchRequest& request,
                          ThreadStatus* thread) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
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
  // Those before the patch in transition when that began, to its end: what it replaces, too.
  std::vector<Patch*> older_ ABSL_GUARDED_BY(mu);
  std::vector<Apply> history_ ABSL_GUARDED_BY(mu);  // oldest first
  RedirectionTable table_ ABSL_GUARDED_BY(mu);
  Callbacks callbacks_;
  mend_object program_;  // the program's own object: it is always loaded, and live
  // Guest modules, from the beginning of their coming until their going (I1).
  std::map<std::string, mend_object*> modules_ ABSL_GUARDED_BY(mu);
  // By module that is gone: what patches had linked for it, until no thread is in it.
  std::map<std::string, std::vector<CodeRange>> gone_text_ ABSL_GUARDED_BY(mu);
  ModuleUnits units_ ABSL_GUARDED_BY(mu);  // of `modules_`
  bool warned_of_state_ ABSL_GUARDED_BY(mu) = false;
  Coordinator coordinator_ ABSL_GUARDED_BY(mu);
  std::unique_ptr<Transition> transition_ ABSL_GUARDED_BY(mu);
  Phase phase_ ABSL_GUARDED_BY(mu) = Phase::kSwitching;
  bool canary_held_ ABSL_GUARDED_BY(mu) = false;  // of the transition that runs
  Leftovers leftovers_ ABSL_GUARDED_BY(mu);
  // The look that threads answer now, or the last; null before the first.
  std::unique_ptr<SwitchRequest> look_ ABSL_GUARDED_BY(mu);
  bool look_answered_ ABSL_GUARDED_BY(mu) = true;
  int unclear_adoptions_ ABSL_GUARDED_BY(mu) = 0;  // attempts left to find all threads
  TransitionReport last_ ABSL_GUARDED_BY(mu);
  TransitionReport report_ ABSL_GUARDED_BY(mu);  // of the transition that runs
  int64_t begin_ns_ ABSL_GUARDED_BY(mu) = 0;
  // Force: what cannot be seen does not hold the running transition up any more.
  bool transition_forced_ ABSL_GUARDED_BY(mu) = false;
  int64_t started_ns_ ABSL_GUARDED_BY(mu) = 0;
  int64_t switched_ns_ ABSL_GUARDED_BY(mu) = 0;

  pthread_t coordinator_thread_ ABSL_GUARDED_BY(mu) = {};
  bool coordinator_runs_ ABSL_GUARDED_BY(mu) = false;
  bool stop_ ABSL_GUARDED_BY(mu) = false;
};

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_REGISTRY_STATE_H_
