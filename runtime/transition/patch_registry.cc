#include "runtime/transition/patch_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/mutex.h"
#include "runtime/patch/validate_patch.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/transition/registry_state.h"

// A thread of the program that calls in here counts as blocked: it may have to switch for the
// transition that it waits for.

namespace mend {
namespace {

absl::Status NoSuchPatch(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("ENOENT: there is no patch '", name, "'"));
}

}  // namespace

PatchRegistry::PatchRegistry(std::unique_ptr<State> state) : state_(std::move(state)) {}

PatchRegistry::~PatchRegistry() { state_->StopCoordinator(); }

absl::StatusOr<std::unique_ptr<PatchRegistry>> PatchRegistry::Create(CodeHost* host,
                                                                     PatchLoader* loader,
                                                                     EventLog* events,
                                                                     RegistryOptions options) {
  if (absl::Status installed = InstallSafepointSignal(); !installed.ok()) return installed;
  InitializePollStub();
  auto state = std::make_unique<State>(host, loader, events, options);
  {
    MutexLock lock(&state->mu);
    if (absl::Status started = state->EnsureCoordinatorLocked(); !started.ok()) return started;
  }
  return std::unique_ptr<PatchRegistry>(new PatchRegistry(std::move(state)));
}

absl::StatusOr<std::string> PatchRegistry::Enable(std::unique_ptr<Patch> patch) {
  const BlockedRegion region("mend: enabling a patch");
  State& state = *state_;
  MutexLock lock(&state.mu);
  if (absl::Status valid = ValidatePatch(*patch); !valid.ok()) return valid;
  state.AwaitGraceLocked();
  if (Patch* const same = state.FindSameLocked(patch->name, patch->content_hash); same != nullptr) {
    // It is on its way out: what was asked for is that it stays.
    if (!same->enabled) {
      if (absl::Status reversed = state.ReverseLocked(); !reversed.ok()) return reversed;
    }
    return same->name;
  }
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  // The same patch, disabled, makes room: it starts afresh, its data included.
  Patch* const older = state.FindLocked(patch->name);
  if (older != nullptr && !older->enabled && older->content_hash == patch->content_hash &&
      state.CheckUnusedLocked(*older).ok()) {
    state.EraseLocked(older);
  }
  patch->name = state.FreeNameLocked(patch->name);
  patch->enabled = false;
  patch->forced = false;
  Patch* const added = state.AddLocked(std::move(patch));
  if (absl::Status started = state.StartLocked(added, /*patching=*/true); !started.ok()) {
    state.EraseLocked(added);
    return started;
  }
  return added->name;
}

absl::Status PatchRegistry::EnableAgain(const std::string& name) {
  const BlockedRegion region("mend: enabling a patch");
  State& state = *state_;
  MutexLock lock(&state.mu);
  state.AwaitGraceLocked();
  Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (patch->enabled) return absl::OkStatus();
  if (state.InTransitionLocked(patch)) return state.ReverseLocked();
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  if (patch->forced) {
    // A thread that was forced off it, and is still in it, would run it before it switches.
    if (absl::Status unused = state.CheckUnusedLocked(*patch); !unused.ok()) return unused;
    patch->forced = false;
  }
  return state.StartLocked(patch, /*patching=*/true);
}

absl::Status PatchRegistry::Disable(const std::string& name) {
  const BlockedRegion region("mend: disabling a patch");
  State& state = *state_;
  MutexLock lock(&state.mu);
  state.AwaitGraceLocked();
  Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!patch->enabled) return absl::OkStatus();
  if (state.InTransitionLocked(patch)) return state.ReverseLocked();
  if (absl::Status idle = state.CheckIdleLocked(); !idle.ok()) return idle;
  return state.StartLocked(patch, /*patching=*/false);
}

absl::Status PatchRegistry::Reverse(const std::string& name) {
  const BlockedRegion region("mend: reversing a transition");
  State& state = *state_;
  MutexLock lock(&state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!state.InTransitionLocked(patch)) {
    return absl::FailedPreconditionError(
        absl::StrCat("EINVAL: patch '", patch->name, "' is not in transition"));
  }
  return state.ReverseLocked();
}

absl::Status PatchRegistry::Force(const std::string& name) {
  const BlockedRegion region("mend: forcing a transition");
  State& state = *state_;
  MutexLock lock(&state.mu);
  state.AwaitGraceLocked();
  const Patch* const patch = state.FindLocked(name);
  if (patch == nullptr) return NoSuchPatch(name);
  if (!state.InTransitionLocked(patch)) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: patch '", patch->name, "' is not in transition"));
  }
  state.ForceLocked();
  return absl::OkStatus();
}

absl::Status PatchRegistry::Remove(const std::string& name) {
  const BlockedRegion region("mend: removing a patch");
  State& state = *state_;
  MutexLock lock(&state.mu);
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

absl::Status PatchRegistry::Wait(absl::Duration timeout) {
  const BlockedRegion region("mend: waiting for a transition");
  State& state = *state_;
  MutexLock lock(&state.mu);
  const auto idle = [&state]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mu) {
    return state.transition() == nullptr;
  };
  if (state.mu.AwaitWithTimeout(idle, timeout)) return absl::OkStatus();
  const std::string straggler = state.StragglerLocked();
  return absl::DeadlineExceededError(absl::StrCat(
      "the transition of patch '", state.transition()->patch()->name, "' has not finished",
      straggler.empty() ? "" : absl::StrCat("; held up by ", straggler)));
}

TransitionReport PatchRegistry::LastTransition() const {
  MutexLock lock(&state_->mu);
  return state_->last();
}

CoreStatus PatchRegistry::Status() const {
  MutexLock lock(&state_->mu);
  return state_->StatusLocked();
}

std::vector<ThreadStatus> PatchRegistry::Threads() const {
  MutexLock lock(&state_->mu);
  return state_->ThreadsLocked();
}

void PatchRegistry::PrepareFork() { state_->PrepareFork(); }
void PatchRegistry::ParentAfterFork() { state_->ParentAfterFork(); }
void PatchRegistry::ChildAfterFork() { state_->ChildAfterFork(); }

}  // namespace mend
