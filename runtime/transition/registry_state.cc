#include "runtime/transition/registry_state.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "runtime/patch/patch_name.h"
#include "runtime/safepoint/apart_thread.h"
#include "runtime/safepoint/runtime_thread.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/atomic_replace.h"

namespace mend {
namespace {

// How long a finished transition waits for threads to leave its trampolines, and how long Remove
// waits for threads to leave a patch's text. Polls and signals answer within the signal's delay,
// when there are processors for all.
constexpr int64_t kGraceMaxNs = 100'000'000;
constexpr int64_t kRemovalMaxNs = 100'000'000;
constexpr int64_t kIdleNs = int64_t{3600} * 1'000'000'000;
constexpr int kAdoptionTriesMax = 100;

void SleepNs(int64_t ns) {
  std::atomic<uint32_t> never{0};
  FutexWait(&never, 0, ns);
}

}  // namespace

std::string PatchRegistry::State::DescribeStack(const UnregisteredStack& stack) const {
  if (stack.tid == 0) {
    return absl::StrCat(
        stack.blocked_in,
        " has gone to a stack of the program's own making, of which the runtime was "
        "not told");
  }
  return absl::StrCat("thread ", ThreadName(stack.tid), " (", stack.tid, ") was in ",
                      stack.blocked_in != nullptr ? stack.blocked_in : loader_->Describe(stack.pc),
                      " on a stack of the program's own making, of which the runtime was not told");
}

PatchRegistry::State::~State() {
  // Threads of the process may be answering a request at this moment, or do so at any later signal:
  // the requests stay.
  if (transition_ != nullptr) TakeLeftoversLocked();
  (void)look_.release();
  for (std::unique_ptr<SwitchRequest>& request : leftovers_.requests) (void)request.release();
  for (std::unique_ptr<SwitchTally>& tally : leftovers_.tallies) (void)tally.release();
}

absl::Status PatchRegistry::State::CheckNoCallback(const char* what) const {
  if (!callbacks_.InCallback()) return absl::OkStatus();
  return ErrnoStatus(EDEADLK, absl::StrCat("a livepatch callback cannot ", what));
}

// --- names ---

Patch* PatchRegistry::State::FindLocked(const std::string& name) const {
  Patch* found = nullptr;
  for (const std::unique_ptr<Patch>& patch : patches_) {
    // A bare name means the newest generation, so that scripts need not know that there are any.
    if (MayMean(name, patch->name)) found = patch.get();
  }
  return found;
}

Patch* PatchRegistry::State::FindSameLocked(const Patch& patch) const {
  for (Patch* const active : active_) {
    if (IsSamePatch(*active, patch)) return active;
  }
  return nullptr;
}

std::string PatchRegistry::State::FreeNameLocked(const std::string& name) const {
  std::string candidate = name;
  const auto taken = [&candidate](const std::unique_ptr<Patch>& patch) {
    return patch->name == candidate;
  };
  for (int generation = 2; std::any_of(patches_.begin(), patches_.end(), taken); ++generation) {
    candidate = absl::StrCat(std::string(BareName(name)), "~", generation);
  }
  return candidate;
}

Patch* PatchRegistry::State::AddLocked(std::unique_ptr<Patch> patch) {
  patches_.push_back(std::move(patch));
  return patches_.back().get();
}

void PatchRegistry::State::EraseLocked(const Patch* patch) {
  std::erase_if(history_, [patch](const Apply& apply) { return apply.patch == patch; });
  for (Apply& apply : history_) {
    if (std::erase(apply.replaced, patch) != 0) apply.removed = patch->name;
  }
  std::erase_if(patches_,
                [patch](const std::unique_ptr<Patch>& other) { return other.get() == patch; });
}

PatchAside PatchRegistry::State::SetAsideLocked(const Patch& patch) {
  for (size_t i = patches_.size(); i-- > 0;) {
    const Patch& older = *patches_[i];
    if (!IsSamePatch(older, patch)) continue;
    if (older.enabled || !CheckIdleLocked().ok() || !CheckUnusedLocked(older).ok()) return {};
    PatchAside aside{.patch = std::move(patches_[i]), .place = i};
    patches_.erase(patches_.begin() + static_cast<ptrdiff_t>(i));
    return aside;
  }
  return {};
}

std::vector<const Patch*> PatchRegistry::State::SpareLocked(const Patch& patch) {
  std::vector<const Patch*> spare;
  if (!CheckIdleLocked().ok()) return spare;
  for (const std::unique_ptr<Patch>& older : patches_) {
    if (older->enabled || !IsSamePatch(*older, patch)) continue;
    const bool may_come_back =
        std::any_of(history_.begin(), history_.end(), [&older](const Apply& apply) {
          return std::find(apply.replaced.begin(), apply.replaced.end(), older.get()) !=
                 apply.replaced.end();
        });
    if (!may_come_back && CheckUnusedLocked(*older).ok()) spare.push_back(older.get());
  }
  return spare;
}

void PatchRegistry::State::PutBackLocked(PatchAside aside) {
  if (aside.patch == nullptr) return;
  patches_.insert(patches_.begin() + static_cast<ptrdiff_t>(aside.place), std::move(aside.patch));
}

// --- one transition ---

void PatchRegistry::State::AwaitGraceLocked() {
  // A forked child may have found no thread for its coordinator. If there is none now either, the
  // caller goes the steps that are left.
  if (!ReviveCoordinatorLocked().ok()) {
    while (transition_ != nullptr && phase_ == Phase::kGrace) SleepNs(StepLocked());
    return;
  }
  const auto settled = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return transition_ == nullptr || phase_ == Phase::kSwitching;
  };
  mu.Await(settled);
}

absl::Status PatchRegistry::State::CheckIdleLocked() const {
  if (transition_ == nullptr) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("EBUSY: MEND-E0143: patch '", transition_->patch()->name, "' is in transition",
                   transition_->canary() ? " (a canary: promote or disable it)" : ""));
}

absl::Status PatchRegistry::State::CheckStacksLocked() const {
  const std::optional<UnregisteredStack> stack = FindUnregisteredStack();
  if (!stack.has_value()) return absl::OkStatus();
  return ErrnoStatus(
      EBUSY, absl::StrCat("MEND-E0144: ", DescribeStack(*stack),
                          "; what is suspended on such stacks cannot be checked (to go on all the "
                          "same: mend set TARGET threads/unregistered_stack ignore)"));
}

std::string PatchRegistry::State::StragglerLocked() const {
  std::string straggler = coordinator_.DescribeStraggler();
  const std::optional<UnregisteredStack> stack = FindUnregisteredStack();
  if (straggler.empty() && stack.has_value()) straggler = DescribeStack(*stack);
  return straggler;
}

absl::Status PatchRegistry::State::CheckStatesLocked(const Patch& patch) {
  const auto version_of = [&patch](unsigned long id) -> const unsigned* {
    for (const SystemState& state : patch.states) {
      if (state.id == id) return &state.version;
    }
    return nullptr;
  };
  // By its newest holder, whose owner would take it off.
  std::map<unsigned long, bool> can_vanish;
  for (const Patch* const active : active_) {
    for (const SystemState& state : active->states) can_vanish[state.id] = state.owner.can_vanish();
  }
  for (const Patch* const active : active_) {
    if (active->replace_set != patch.replace_set) continue;
    for (const SystemState& state : active->states) {
      const unsigned* const version = version_of(state.id);
      const bool may_lack = !patch.replace || can_vanish[state.id];
      if (version == nullptr ? may_lack : *version >= state.version) continue;
      const std::string text =
          absl::StrCat("Livepatch patch (", patch.name,
                       ") is not compatible with the already installed livepatches.");
      events_->Append(LivepatchEvent("incompatible", patch.name, text));
      return ErrnoStatus(EINVAL, text);
    }
  }
  return absl::OkStatus();
}

absl::Status PatchRegistry::State::PrepareLocked(Patch* patch) {
  absl::Status prepared;
  for (PatchObject& object : patch->objects) {
    mend_object* const loaded = LoadedObjectLocked(object.name);
    if (loaded == nullptr) continue;
    prepared = ResolveLocked(patch, &object, loaded);
    if (!prepared.ok()) return prepared;
  }
  for (const auto& [name, module] : modules_) {
    prepared = ResolveHeldLocked(patch, name);
    if (!prepared.ok()) return prepared;
  }
  if (absl::Status kept = CheckSetLocked(*patch); !kept.ok()) return kept;
  return patch->replace ? AddNops(patch, ReplacedByLocked(*patch)) : absl::OkStatus();
}

absl::Status PatchRegistry::State::StartLocked(Patch* patch, bool patching,
                                               std::vector<Patch*> restored,
                                               const CanarySpec& canary) {
  MEND_CHECK(transition_ == nullptr, "two transitions at a time");
  const std::vector<ChosenThread> chosen = ChooseCanaryLocked(canary);
  absl::Status ready;
  if (!canary.empty() && chosen.empty()) {
    ready = ErrnoStatus(ENOENT, "the canary names no thread of the program");
  }
  if (ready.ok()) ready = CheckStacksLocked();
  if (ready.ok()) ready = EnsureCoordinatorLocked();
  if (!ready.ok()) {
    if (patching) DropNops(patch);
    return ready;
  }
  begin_ns_ = MonotonicNs();
  transition_forced_ = false;
  report_ = {};
  report_.patch = patch->name;
  std::vector<Patch*> others = restored;
  std::vector<bool> allowed_before;
  if (patching) {
    for (PatchObject& object : patch->objects) {
      allowed_before.push_back(object.post_unpatch_allowed);
      object.post_unpatch_allowed = false;
      object.post_unpatch_ran = false;
    }
    others = ReplacedByLocked(*patch);
    events_->Append(LivepatchEvent("enabling", patch->name,
                                   absl::StrCat("enabling patch '", patch->name, "'")));
  }
  std::vector<Patch*> after = active_;
  if (patching) {
    std::erase_if(after, [&others](const Patch* active) {
      return std::find(others.begin(), others.end(), active) != others.end();
    });
    after.push_back(patch);
  } else {
    const auto at = after.erase(std::find(after.begin(), after.end(), patch));
    after.insert(at, restored.begin(), restored.end());
  }
  transition_ =
      std::make_unique<Transition>(Transition::Environment{.host = host_,
                                                           .events = events_,
                                                           .table = &table_,
                                                           .callbacks = &callbacks_,
                                                           .units = &units_},
                                   patch, patching, std::move(others), LeftoverTrampolinesLocked(),
                                   StateChanges(&callbacks_, active_, after));
  // Before the patch, as they were: it sees their states, and modules that come get them first.
  active_.insert(std::find(active_.begin(), active_.end(), patch), restored.begin(),
                 restored.end());
  older_.assign(active_.begin(), std::find(active_.begin(), active_.end(), patch));
  phase_ = Phase::kSwitching;
  canary_held_ = false;
  coordinator_.Begin(patch->name);
  if (absl::Status made = transition_->Init(); !made.ok()) {
    if (patching) {
      events_->Append(LivepatchEvent("enable_failed", patch->name,
                                     absl::StrCat("failed to enable patch '", patch->name, "'")));
    }
    CancelLocked();
    // A replaced patch that may yet come back is as it was, where no callback has undone anything.
    for (size_t i = 0; i < allowed_before.size(); ++i) {
      PatchObject& object = patch->objects[i];
      if (!object.post_unpatch_ran) object.post_unpatch_allowed = allowed_before[i];
    }
    NoteUndoneLocked(patch);
    DropActiveLocked(restored);
    return made;
  }
  if (patching) active_.push_back(patch);
  // At least once; more often while threads are just starting.
  unclear_adoptions_ = options_.adopt_unknown_threads ? kAdoptionTriesMax : 0;
  AdoptLocked();
  if (!canary.empty()) MarkCanaryLocked(chosen);
  transition_->Start(/*canary=*/!canary.empty());
  started_ns_ = MonotonicNs();
  // Threads that are blocked, outside or starting need no more than this.
  StepLocked();
  Handshake::Get().WakeCoordinator();
  return absl::OkStatus();
}

void PatchRegistry::State::AdoptLocked() {
  if (unclear_adoptions_ == 0) return;
  --unclear_adoptions_;
  if (ThreadRegistry::Get().AdoptUnknownThreads() >= 0) unclear_adoptions_ = 0;
}

void PatchRegistry::State::CancelLocked() {
  transition_->Cancel();
  transition_->Finish();
  TakeLeftoversLocked();
  transition_ = nullptr;
  // Threads may have passed the trampolines, though none has switched.
  if (!leftovers_.empty()) LookLocked({});
  Handshake::Get().WakeCoordinator();
}

absl::Status PatchRegistry::State::ReverseLocked() {
  MEND_CHECK(transition_ != nullptr && phase_ == Phase::kSwitching, "nothing to reverse");
  transition_->Reverse();
  coordinator_.Restart();
  StepLocked();
  Handshake::Get().WakeCoordinator();
  return absl::OkStatus();
}

void PatchRegistry::State::ForceLocked() {
  MEND_CHECK(transition_ != nullptr && phase_ == Phase::kSwitching, "nothing to force");
  events_->Append(LivepatchEvent("forcing", transition_->patch()->name,
                                 "forcing remaining tasks to the patched state"));
  // Whoever stands in a trampoline of an earlier transition would take the epoch that it is forced
  // to for a switch of that one, whose patch may be gone. Nobody stays in one, so a short look
  // ends.
  if (!leftovers_.empty()) {
    LookLocked({});
    (void)AwaitLookLocked(kGraceMaxNs);
    transition_->Publish();
  }
  if (transition_->canary()) transition_->Promote();
  const unsigned forced = coordinator_.ForceLeft(transition_->request());
  transition_forced_ = true;
  if (forced > 0 || FindUnregisteredStack().has_value()) {
    // Old code may be on stacks for ever: whatever is on its way out is kept (rule X2).
    if (!transition_->target_patched()) transition_->patch()->forced = true;
    if (transition_->target_patched()) {
      // Replaced; or on the way back in, and out again.
      for (Patch* const other : transition_->others()) other->forced = true;
    }
  }
  unclear_adoptions_ = 0;
  StepLocked();
  Handshake::Get().WakeCoordinator();
}

int64_t PatchRegistry::State::StepLocked() {
  if (transition_ != nullptr && phase_ == Phase::kSwitching) {
    if (!AllSwitchedLocked()) return coordinator_.NextBackoffNs();
    if (transition_->canary()) {
      HoldCanaryLocked();
      return kIdleNs;
    }
    CompleteLocked();
  }
  const bool looked = LookDoneLocked();
  if (transition_ != nullptr) {
    if (!looked && MonotonicNs() - switched_ns_ < kGraceMaxNs) return coordinator_.NextBackoffNs();
    FinishLocked();
  }
  return looked ? kIdleNs : coordinator_.NextBackoffNs();
}

bool PatchRegistry::State::AllSwitchedLocked() {
  AdoptLocked();
  if (coordinator_.Scan(transition_->request()) != 0 || unclear_adoptions_ != 0) return false;
  // After the scan: a thread notes that it is on such a stack before it acknowledges (ORDER[T5]) or
  // can be claimed (ORDER[T2]).
  return transition_forced_ || !FindUnregisteredStack().has_value();
}

void PatchRegistry::State::CompleteLocked() {
  switched_ns_ = MonotonicNs();
  report_.last_straggler = coordinator_.DescribeStraggler();
  Patch* const patch = transition_->patch();
  transition_->Complete();
  if (!transition_->target_patched()) {
    std::erase(active_, patch);
  } else {
    // Replaced; or not restored after all.
    DropActiveLocked(transition_->others());
  }
  KeepHistoryLocked();
  ReportCompletionLocked();
  TakeLeftoversLocked();
  LookLocked({});
  phase_ = Phase::kGrace;
}

void PatchRegistry::State::DropActiveLocked(const std::vector<Patch*>& patches) {
  std::erase_if(active_, [&patches](const Patch* patch) {
    return std::find(patches.begin(), patches.end(), patch) != patches.end();
  });
}

void PatchRegistry::State::ReportCompletionLocked() {
  report_.patching = transition_->target_patched();
  report_.reversed = transition_->reversed();
  report_.start_ns = started_ns_ - begin_ns_;
  report_.switch_ns = switched_ns_ - started_ns_;
  const auto count = [this](SwitchWay way) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return transition_->tally().ways[static_cast<size_t>(way)].load(std::memory_order_relaxed);
  };
  report_.switched = {.outside = count(SwitchWay::kOutside),
                      .blocked = count(SwitchWay::kBlocked),
                      .poll = count(SwitchWay::kPoll),
                      .signal = count(SwitchWay::kSignal),
                      .forced = count(SwitchWay::kForced),
                      .created = count(SwitchWay::kCreated)};
}

void PatchRegistry::State::FinishLocked() {
  transition_->Finish();
  report_.complete_ns = MonotonicNs() - switched_ns_;
  last_ = report_;
  transition_ = nullptr;
}

// --- the grace period ---

void PatchRegistry::State::TakeLeftoversLocked() {
  Retired retired = transition_->TakeRetired();
  for (std::unique_ptr<SwitchRequest>& request : retired.requests) {
    leftovers_.requests.push_back(std::move(request));
  }
  if (retired.tally != nullptr) leftovers_.tallies.push_back(std::move(retired.tally));
  leftovers_.trampolines.insert(leftovers_.trampolines.end(), retired.trampolines.begin(),
                                retired.trampolines.end());
}

std::vector<CodeRange> PatchRegistry::State::LeftoverTrampolinesLocked() const {
  std::vector<CodeRange> trampolines = leftovers_.trampolines;
  NormalizeRanges(&trampolines);
  return trampolines;
}

void PatchRegistry::State::LookLocked(std::vector<CodeRange> forbidden) {
  auto look = std::make_unique<SwitchRequest>();
  const SwitchRequest* const current = Handshake::Get().Current();
  look->generation = Handshake::Get().NextGeneration();
  // Threads that come to life now take the state that the others have.
  look->epoch = current == nullptr ? 1 : current->epoch;
  look->to_new = current == nullptr || current->to_new;
  look->canary = current != nullptr && current->canary;
  look->forbidden = std::move(forbidden);
  NormalizeRanges(&look->forbidden);
  look->retired_trampolines = LeftoverTrampolinesLocked();
  if (transition_ != nullptr) {
    std::vector<CodeRange>& trampolines = look->retired_trampolines;
    trampolines.insert(trampolines.end(), transition_->trampolines().begin(),
                       transition_->trampolines().end());
    NormalizeRanges(&trampolines);
  }
  if (look_ != nullptr) leftovers_.requests.push_back(std::move(look_));
  look_ = std::move(look);
  look_answered_ = false;
  Handshake::Get().Publish(look_.get());
  // Slots lead past the trampolines by now, so whoever nobody knows and may stand in one is there.
  unclear_adoptions_ = options_.adopt_unknown_threads ? kAdoptionTriesMax : 0;
  coordinator_.Resume();
}

bool PatchRegistry::State::LookDoneLocked() {
  if (look_answered_) return true;
  AdoptLocked();
  if (coordinator_.Scan(*look_) != 0 || unclear_adoptions_ != 0) return false;
  look_answered_ = true;
  for (const CodeRange& trampolines : leftovers_.trampolines) host_->ReleaseText(trampolines);
  leftovers_ = {};
  return true;
}

absl::Status PatchRegistry::State::CheckUnusedLocked(const Patch& patch) {
  if (absl::Status seen = CheckStacksLocked(); !seen.ok()) return seen;
  std::vector<CodeRange> text = patch.added_text;
  for (const PatchObject& object : patch.objects) {
    text.insert(text.end(), object.added_text.begin(), object.added_text.end());
    for (const PatchFunction& function : object.functions) text.push_back(function.new_text);
  }
  LookLocked(std::move(text));
  if (AwaitLookLocked(kRemovalMaxNs)) return absl::OkStatus();
  return ErrnoStatus(EBUSY, absl::StrCat("patch '", patch.name, "' may still be in use by ",
                                         coordinator_.DescribeStraggler()));
}

bool PatchRegistry::State::AwaitLookLocked(int64_t timeout_ns) {
  const int64_t begin_ns = MonotonicNs();
  while (!LookDoneLocked()) {
    if (MonotonicNs() - begin_ns > timeout_ns) return false;
    SleepNs(coordinator_.NextBackoffNs());
  }
  return true;
}

// --- the coordinator's thread ---

absl::Status PatchRegistry::State::EnsureCoordinatorLocked() {
  if (MEND_FAILPOINT("transition/start_coordinator")) {
    return absl::ResourceExhaustedError("EAGAIN: no thread for the coordinator (failpoint)");
  }
  if (coordinator_runs_) return absl::OkStatus();
  StartApartThread();
  absl::Status started =
      StartRuntimeThread("mend-coord", RunCoordinator, this, &coordinator_thread_);
  coordinator_runs_ = started.ok();
  return started;
}

absl::Status PatchRegistry::State::ReviveCoordinatorLocked() {
  const bool has_work = transition_ != nullptr || !look_answered_;
  return has_work && !coordinator_runs_ ? EnsureCoordinatorLocked() : absl::OkStatus();
}

void* PatchRegistry::State::RunCoordinator(void* state) {
  static_cast<State*>(state)->CoordinatorLoop();
  return nullptr;
}

void PatchRegistry::State::CoordinatorLoop() {
  std::atomic<uint32_t>& wake_word = Handshake::Get().wake_word();
  while (true) {
    // ORDER[T11]: the word before what the wake was for; pairs with Handshake::WakeCoordinator.
    const uint32_t woken = wake_word.load(std::memory_order_acquire);
    int64_t sleep_ns;
    {
      MutexLock lock(&mu);
      if (stop_) return;
      sleep_ns = StepLocked();
    }
    if (sleep_ns < kIdleNs) {
      FutexWait(&wake_word, woken, sleep_ns);
      continue;
    }
    const RuntimeThreadSleep sleep;
    // ORDER[T11]: as above.
    while (wake_word.load(std::memory_order_acquire) == woken) {
      FutexWait(&wake_word, woken, kIdleNs);
    }
  }
}

void PatchRegistry::State::StopCoordinator() {
  pthread_t thread;
  {
    MutexLock lock(&mu);
    stop_ = true;
    if (!coordinator_runs_) return;
    coordinator_runs_ = false;
    thread = coordinator_thread_;
  }
  Handshake::Get().WakeCoordinator();
  pthread_join(thread, nullptr);
}

// A callback that forks holds the mutex already, and goes on with it in both processes.

void PatchRegistry::State::PrepareFork() {
  if (!callbacks_.InCallback()) mu.Lock();
  callbacks_.PrepareFork();
}

void PatchRegistry::State::ParentAfterFork() {
  if (!callbacks_.InCallback()) mu.Unlock();
}

void PatchRegistry::State::ChildAfterFork() {
  coordinator_runs_ = false;
  // The forking thread may be one that nobody announced, and its record gone with the others'.
  unclear_adoptions_ = options_.adopt_unknown_threads ? kAdoptionTriesMax : 0;
  if (callbacks_.InForkedCallback()) return;
  mu.ResetAfterFork();
  // A child without anything under way gets its coordinator with its first transition. If there is
  // no thread to be had, the next call tries again.
  (void)ReviveCoordinatorLocked();
}

}  // namespace mend
