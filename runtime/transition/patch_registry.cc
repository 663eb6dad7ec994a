#include "runtime/transition/patch_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/mutex.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/patch/validate_patch.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/transition/registry_state.h"

namespace mend {
namespace {

// A thread of the program that calls in here counts as blocked: it may have to switch for the
// transition that it waits for. While it holds the mutex, and maybe the claim on a thread (its own
// too), nothing of the program's interrupts it.
class ABSL_SCOPED_LOCKABLE CoreCall {
 public:
  // Inlined, so that the thread is parked in the caller's frame.
  [[gnu::always_inline]] CoreCall(const char* what, Mutex* mutex)
      ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : region_(what), lock_(mutex) {}
  ~CoreCall() ABSL_UNLOCK_FUNCTION() {}
  CoreCall(const CoreCall&) = delete;
  CoreCall& operator=(const CoreCall&) = delete;

 private:
  const BlockedRegion region_;
  const Uninterrupted uninterrupted_;
  const MutexLock lock_;
};

absl::Status NoSuchPatch(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("ENOENT: there is no patch '", name, "'"));
}

bool Goes(const Transition& transition, Direction expected) {
  return expected == Direction::kAny ||
         transition.target_patched() == (expected == Direction::kPatching);
}

absl::Status GoesTheOtherWay(const Patch& patch) {
  return absl::FailedPreconditionError(absl::StrCat("EINVAL: the transition of patch '", patch.name,
                                                    "' was turned round by somebody else"));
}

// What only reads, or sets a value, is for livepatch callbacks, too. Their thread holds the mutex
// already: functions below look at InCallback first, which the analysis cannot follow.

}  // namespace

PatchRegistry::PatchRegistry(std::unique_ptr<State> state) : state_(std::move(state)) {}

PatchRegistry::~PatchRegistry() { state_->StopCoordinator(); }

void PatchRegistry::Stop() { state_->StopCoordinator(); }

absl::StatusOr<std::unique_ptr<PatchRegistry>> PatchRegistry::Create(
    CodeHost* host, PatchLoader* loader, EventLog* events, const RegistryOptions& options) {
  if (absl::Status installed = InstallSafepointSignal(); !installed.ok()) return installed;
  InitializePollStub();
  auto state = std::make_unique<State>(host, loader, events, options);
  {
    MutexLock lock(&state->mu);
    if (absl::Status started = state->EnsureCoordinatorLocked(); !started.ok()) return started;
  }
  return std::unique_ptr<PatchRegistry>(new PatchRegistry(std::move(state)));
}

absl::StatusOr<std::string> PatchRegistry::Enable(std::unique_ptr<Patch> patch,
                                                  const CanarySpec& canary) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("enable a patch"); !free.ok()) return free;
  const CoreCall call("mend: enabling a patch", &state.mu);
  if (absl::Status valid = ValidatePatch(*patch); !valid.ok()) return valid;
  state.AwaitGraceLocked();
  if (Patch* const same = state.FindSameLocked(*patch); same != nullptr) {
    // It is on its way out: what was asked for is that it stays.
    if (!same->enabled) {
      if (absl::Status reversed = state.ReverseLocked(); !reversed.ok()) return reversed;
    }
    return same->name;
  }
  // In the kernel's order (LC2): states, names and symbols, and only then the running transition.
  if (absl::Status compatible = state.CheckStatesLocked(*patch); !compatible.ok()) {
    return compatible;
  }
  // The same patch, disabled, makes room: it starts afresh, its data included. If it is refused,
  // all is as it was.
  PatchAside older = state.SetAsideLocked(*patch);
  const std::vector<const Patch*> spare = state.SpareLocked(*patch);
  patch->name = state.FreeNameLocked(patch->name);
  patch->enabled = false;
  patch->forced = false;
  Patch* const added = state.AddLocked(std::move(patch));
  absl::Status started = state.PrepareLocked(added);
  if (started.ok()) started = state.CheckIdleLocked();
  if (started.ok()) started = state.StartLocked(added, /*patching=*/true, {}, canary);
  if (!started.ok()) {
    state.EraseLocked(added);
    state.PutBackLocked(std::move(older));
    return started;
  }
  if (older.patch != nullptr) state.EraseLocked(older.patch.get());
  for (const Patch* const generation : spare) state.EraseLocked(generation);
  if (added->module != nullptr) added->module->Commit();
  return added->name;
}

absl::StatusOr<std::vector<ThreadStatus>> PatchRegistry::Examine(Patch* patch) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("examine a patch"); !free.ok()) return free;
  const CoreCall call("mend: examining a patch", &state.mu);
  if (absl::Status valid = ValidatePatch(*patch); !valid.ok()) return valid;
  state.AwaitGraceLocked();
  if (absl::Status compatible = state.CheckStatesLocked(*patch); !compatible.ok()) {
    return compatible;
  }
  absl::Status ready = state.PrepareLocked(patch);
  if (ready.ok()) ready = state.CheckIdleLocked();
  if (ready.ok()) ready = state.CheckStacksLocked();
  if (!ready.ok()) return ready;
  return state.ExamineLocked(*patch);
}

absl::Status PatchRegistry::EnableAgain(const std::string& name) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("enable a patch"); !free.ok()) return free;
  const CoreCall call("mend: enabling a patch", &state.mu);
  state.AwaitGraceLocked();
  Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (patch->enabled) return absl::OkStatus();
  if (state.InTransitionLocked(patch)) return state.ReverseLocked();
  if (absl::Status compatible = state.CheckStatesLocked(*patch); !compatible.ok()) {
    return compatible;
  }
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  if (patch->forced) {
    // A thread that was forced off it, and is still in it, would run it before it switches.
    if (absl::Status unused = state.CheckUnusedLocked(*patch); !unused.ok()) return unused;
    patch->forced = false;
  }
  if (absl::Status prepared = state.PrepareLocked(patch); !prepared.ok()) return prepared;
  return state.StartLocked(patch, /*patching=*/true);
}

absl::Status PatchRegistry::Disable(const std::string& name) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("disable a patch"); !free.ok()) return free;
  const CoreCall call("mend: disabling a patch", &state.mu);
  state.AwaitGraceLocked();
  Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!patch->enabled) return absl::OkStatus();
  if (state.InTransitionLocked(patch)) return state.ReverseLocked();
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  return state.StartLocked(patch, /*patching=*/false);
}

absl::Status PatchRegistry::Reverse(const std::string& name, Direction expected) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("reverse a transition"); !free.ok()) return free;
  const CoreCall call("mend: reversing a transition", &state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!state.InTransitionLocked(patch)) {
    return absl::FailedPreconditionError(
        absl::StrCat("EINVAL: patch '", patch->name, "' is not in transition"));
  }
  if (!Goes(*state.transition(), expected)) return GoesTheOtherWay(*patch);
  return state.ReverseLocked();
}

absl::Status PatchRegistry::SetEnabled(const std::string& name, bool enabled) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("enable a patch"); !free.ok()) return free;
  const CoreCall call("mend: writing to 'enabled'", &state.mu);
  state.AwaitGraceLocked();
  Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (patch->enabled == enabled) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: patch '", patch->name, "' is ",
                                                   enabled ? "enabled" : "disabled", " already"));
  }
  if (state.InTransitionLocked(patch)) return state.ReverseLocked();
  if (enabled) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: patch '", patch->name, "' is disabled"));
  }
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  return state.StartLocked(patch, /*patching=*/false);
}

absl::Status PatchRegistry::Promote(const std::string& name) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("promote a patch"); !free.ok()) return free;
  const CoreCall call("mend: promoting a patch", &state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!state.InTransitionLocked(patch) || !state.transition()->canary()) {
    return absl::FailedPreconditionError(
        absl::StrCat("EINVAL: patch '", patch->name, "' is no canary"));
  }
  state.PromoteLocked();
  return absl::OkStatus();
}

absl::StatusOr<std::string> PatchRegistry::Revert() {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("revert a patch"); !free.ok()) return free;
  const CoreCall call("mend: reverting a patch", &state.mu);
  state.AwaitGraceLocked();
  if (const Transition* const running = state.transition();
      running != nullptr && running->patching()) {
    const std::string name = running->patch()->name;
    if (!running->target_patched()) return name;
    if (absl::Status reversed = state.ReverseLocked(); !reversed.ok()) return reversed;
    return name;
  }
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  return state.RevertLocked();
}

absl::Status PatchRegistry::Force(const std::string& name, Direction expected) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("force a transition"); !free.ok()) return free;
  const CoreCall call("mend: forcing a transition", &state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!state.InTransitionLocked(patch)) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: patch '", patch->name, "' is not in transition"));
  }
  if (!Goes(*state.transition(), expected)) return GoesTheOtherWay(*patch);
  state.ForceLocked();
  return absl::OkStatus();
}

absl::Status PatchRegistry::Remove(const std::string& name) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("remove a patch"); !free.ok()) return free;
  const CoreCall call("mend: removing a patch", &state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (patch->enabled || state.InTransitionLocked(patch)) {
    return absl::UnavailableError(absl::StrCat("EBUSY: patch '", patch->name, "' is ",
                                               patch->enabled ? "enabled" : "in transition"));
  }
  // The look would take the place of the running transition's request.
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  if (absl::Status unused = state.CheckUnusedLocked(*patch); !unused.ok()) return unused;
  state.EraseLocked(patch);
  return absl::OkStatus();
}

absl::Status PatchRegistry::Wait(absl::Duration timeout, bool or_held) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("wait for a transition"); !free.ok()) return free;
  const CoreCall call("mend: waiting for a transition", &state.mu);
  // Without a coordinator there is nothing to wait for.
  if (absl::Status runs = state.ReviveCoordinatorLocked(); !runs.ok()) return runs;
  const auto idle = [&state, or_held]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mu) {
    return state.transition() == nullptr || (or_held && state.CanaryHeldLocked());
  };
  if (state.mu.AwaitWithTimeout(idle, timeout)) return absl::OkStatus();
  const std::string straggler = state.StragglerLocked();
  return absl::DeadlineExceededError(absl::StrCat(
      "the transition of patch '", state.transition()->patch()->name, "' has not finished",
      straggler.empty() ? "" : absl::StrCat("; held up by ", straggler)));
}

absl::StatusOr<std::string> PatchRegistry::GetParameter(const std::string& name,
                                                        const std::string& parameter) const {
  const auto get = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<std::string> {
    const Patch* const patch = state_->FindLocked(name);
    if (patch == nullptr) return NoSuchPatch(name);
    return patch->parameters.Get(parameter);
  };
  if (InCallback()) return get();
  const CoreCall call("mend: reading a parameter", &state_->mu);
  return get();
}

absl::Status PatchRegistry::SetParameter(const std::string& name, const std::string& parameter,
                                         const std::string& value) {
  const auto set = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
    Patch* const patch = state_->FindLocked(name);
    if (patch == nullptr) return NoSuchPatch(name);
    return patch->parameters.Set(parameter, value);
  };
  if (InCallback()) return set();
  const CoreCall call("mend: setting a parameter", &state_->mu);
  return set();
}

absl::StatusOr<int> PatchRegistry::References(const std::string& name) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("count references"); !free.ok()) return free;
  const CoreCall call("mend: looking for users of a patch", &state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (patch->enabled || state.InTransitionLocked(patch)) return 1;
  return state.CheckIdleLocked().ok() && state.CheckUnusedLocked(*patch).ok() ? 0 : 1;
}

absl::Status PatchRegistry::ModuleComing(mend_object* module) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("load a module"); !free.ok()) return free;
  const CoreCall call("mend: loading a module", &state.mu);
  state.AwaitGraceLocked();
  return state.ModuleComingLocked(module);
}

absl::Status PatchRegistry::ModuleGoing(mend_object* module) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("unload a module"); !free.ok()) return free;
  const CoreCall call("mend: unloading a module", &state.mu);
  state.AwaitGraceLocked();
  state.ModuleGoingLocked(module);
  return absl::OkStatus();
}

absl::Status PatchRegistry::CheckTextUnused(const std::string& module,
                                            const std::vector<CodeRange>& text) {
  State& state = *state_;
  if (absl::Status free = state.CheckNoCallback("unload a module"); !free.ok()) return free;
  const CoreCall call("mend: unloading a module", &state.mu);
  state.AwaitGraceLocked();
  return state.CheckTextUnusedLocked(module, text);
}

mend_state* PatchRegistry::PreviousState(unsigned long id) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InCallback()) return state_->PreviousStateLocked(id);
  const CoreCall call("mend_get_prev_state", &state_->mu);
  return state_->PreviousStateLocked(id);
}

const std::string& PatchRegistry::program_name() const { return state_->program_name(); }
bool PatchRegistry::InCallback() const { return state_->callbacks().InCallback(); }

std::string PatchRegistry::UnregisteredStackSeen() const {
  if (UnregisteredStacksIgnored()) return "ignored";
  const std::optional<UnregisteredStack> stack = FindUnregisteredStack();
  return stack.has_value() ? state_->DescribeStack(*stack) : "none";
}

TransitionReport PatchRegistry::LastTransition() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InCallback()) return state_->last();
  const CoreCall call("mend: reading the status", &state_->mu);
  return state_->last();
}

CoreStatus PatchRegistry::Status() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InCallback()) return state_->StatusLocked();
  const CoreCall call("mend: reading the status", &state_->mu);
  return state_->StatusLocked();
}

std::vector<ThreadStatus> PatchRegistry::Threads() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InCallback()) return state_->ThreadsLocked();
  const CoreCall call("mend: reading the status", &state_->mu);
  return state_->ThreadsLocked();
}

void PatchRegistry::PrepareFork() { state_->PrepareFork(); }
void PatchRegistry::ParentAfterFork() { state_->ParentAfterFork(); }
void PatchRegistry::ChildAfterFork() { state_->ChildAfterFork(); }

void PatchRegistry::StartCoordinator() {
  State& state = *state_;
  if (!state.CheckNoCallback("limit threads").ok()) return;
  const CoreCall call("mend: starting the coordinator", &state.mu);
  state.EnsureCoordinatorLocked().IgnoreError();
}

}  // namespace mend
