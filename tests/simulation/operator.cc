#include "tests/simulation/operator.h"

#include <algorithm>
#include <vector>

#include "runtime/base/failpoint.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/simulation/event_order.h"
#include "tests/simulation/registry_inspector.h"
#include "tests/simulation/state_digest.h"

namespace mend::simulation {
namespace {

Scheduler& Now() { return *Scheduler::Current(); }

// A patch's version, from the content that MakePatch gives it.
int VersionOf(const PatchStatus& patch) { return atoi(patch.content_hash.c_str() + 8); }

}  // namespace

uint32_t Operator::Choose(uint32_t n) { return Now().chooser()->Choose(n); }

void Operator::Require(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  Now().Violation("%s: %s", what, std::string(status.message()).c_str());
}

void Operator::Sleep(absl::Duration time) {
  static int nothing;
  Now().Sleep(&nothing, absl::ToInt64Nanoseconds(time));
}

absl::Status Operator::Wait(bool or_held) {
  // Of an explored history, time is none of its ends.
  const absl::Duration patience = world_.explored ? absl::InfiniteDuration() : absl::Seconds(60);
  absl::Status waited = world_.registry->Wait(patience, or_held);
  // A forked child may have to start its coordinator here; a failpoint that is still armed has it
  // refused, once.
  if (absl::IsResourceExhausted(waited)) {
    waited = world_.registry->Wait(absl::Seconds(60), or_held);
  }
  return waited;
}

void Operator::AwaitTransition() {
  // A canary does not end by itself.
  AwaitCanary();
  if (const CoreStatus status = world_.registry->Status(); status.canary) {
    if (Choose(2) == 0) {
      (void)world_.registry->Promote(status.transition);
    } else {
      (void)world_.registry->Disable(status.transition);
    }
  }
  Require(Wait(/*or_held=*/false), "a transition does not end");
  NextPhase();
}

void Operator::NextPhase() { ++Now().running()->phase; }

void Operator::AwaitCanary() {
  if (!world_.registry->Status().canary) return;
  Require(Wait(/*or_held=*/true), "a canary is not held");
  CheckCanary();
}

// --- whole histories ---

void Operator::Begin() {
  RegistryOptions options;
  options.adopt_unknown_threads = world_.behaviour.raw_threads;
  if (world_.explored) options.poke_interval = absl::Hours(100'000);
  constexpr int kSignalDelaysUs[] = {10'000, 0, 50, 1'000};
  options.signal_delay = absl::Microseconds(kSignalDelaysUs[Choose(4)]);
  auto created = PatchRegistry::Create(&world_.host, &world_.loader, &world_.events, options);
  Require(created.status(), "no registry");
  world_.registry = created->release();  // outlives the history, like its threads
  RegistryInspector::Watch(world_.registry);
  if (world_.explored) MarkCounters(world_.registry);
}

void Operator::StartThread(Announcement announcement) {
  SimulatedThread* const thread = world_.NewThread(announcement);
  // A host's threads come and go.
  if (announcement == Announcement::kHost && Choose(2) == 0) thread->stays = false;
  thread->Start(announcement == Announcement::kProgram ? ThreadRegistry::Get().PrepareChild()
                                                       : nullptr);
}

void Operator::StartSomeThreads() {
  for (uint32_t left = 1 + Choose(3); left > 0; --left) {
    const uint32_t kind = Choose(6);
    if (kind == 5 && world_.behaviour.raw_threads) {
      StartThread(Announcement::kNone);
    } else {
      StartThread(kind == 4 ? Announcement::kHost : Announcement::kProgram);
    }
  }
}

void Operator::RunRandomly() {
  Begin();
  StartSomeThreads();
  RunOperations(3 + Choose(8));
  End();
}

void Operator::RunSmallBound(int threads, int patches) {
  Begin();
  for (; threads > 0; --threads) StartThread(Announcement::kProgram);
  for (int version = 1; version <= patches; ++version) {
    const PatchPlan plan = {.version = version};
    world_.plans[version] = plan;
    NextPhase();
    (void)world_.registry->Enable(world_.host.MakePatch(plan));
    NextPhase();
    AwaitTransition();
  }
  End();
}

void Operator::RunInChild() {
  if (!world_.stopping) RunOperations(Choose(4));
  End();
}

void Operator::RunOperations(uint32_t count) {
  for (; count > 0; --count) {
    RunOperation();
    if (world_.behaviour.handlers) {
      world_.threads[Choose(static_cast<uint32_t>(world_.threads.size()))]->MaybeInterrupt();
    }
  }
}

// --- operations ---

std::string Operator::SomePatch() {
  const std::vector<PatchStatus> patches = world_.registry->Status().patches;
  if (patches.empty()) return "none";
  const std::string& name = patches[Choose(static_cast<uint32_t>(patches.size()))].name;
  return name.find('~') == std::string::npos ? name + "~1" : name;
}

void Operator::RunOperation() {
  PatchRegistry& registry = *world_.registry;
  if (Choose(8) == 0) ArmSomeFailpoint();
  switch (Choose(24)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return Enable();
    case 5:
    case 6:
      return (void)registry.Disable(SomePatch());
    case 7:
      return (void)registry.EnableAgain(SomePatch());
    case 8:
    case 9:
      return (void)registry.Reverse(registry.Status().transition);
    case 10:
      return Force();
    case 11:
    case 12:
      return (void)registry.Remove(SomePatch());
    case 13:
      return Sleep(absl::Microseconds(Choose(20'000)));
    case 14:
    case 15:
      return Revert();
    case 16:
      return Examine();
    case 19:
      return AwaitCanary();
    case 20:
      return (void)registry.Promote(SomePatch());
    case 17:
    case 18:
      return world_.LoadOrUnloadModule();
    default:
      AwaitTransition();
      CheckSettled();
  }
}

void Operator::Enable() {
  PatchPlan plan;
  plan.version = ++world_.version;
  plan.replace = Choose(2) == 0;
  plan.has_module = world_.behaviour.modules;
  plan.has_callbacks = world_.behaviour.callbacks && plan.version < kCallbackSets;
  ChooseSetAndStates(&plan);
  world_.plans[plan.version] = plan;
  // What is active can only become less meanwhile: a transition completes.
  const bool is_kept_out = IsKeptOut(plan);
  const absl::StatusOr<std::string> enabled =
      world_.registry->Enable(world_.host.MakePatch(plan), SomeCanary());
  const std::string why(enabled.status().message());
  if (!is_kept_out && (why.find(" belongs to patch ") != std::string::npos ||
                       why.find(" is not compatible ") != std::string::npos)) {
    Now().Violation("a patch that nothing keeps out is refused: %s", why.c_str());
  }
  // A failure leaves no trace: neither the patch, nor a call that goes elsewhere.
  if (enabled.ok() || world_.registry->Status().transition.empty()) CheckSettled();
}

void Operator::ChooseSetAndStates(PatchPlan* plan) {
  if (world_.behaviour.sets) {
    const bool probes = Choose(3) == 0;
    if (probes) plan->set = "probes";
    // Some try to take what is the others'.
    plan->replaces_delta = (Choose(8) == 7) != probes;
  }
  if (!world_.behaviour.states) return;
  for (unsigned long id = kOwned; id < kStateIds; ++id) {
    const bool own = (id == kProbes) == !plan->set.empty();
    if (Choose(own ? 2 : 12) == 1) plan->states[id] = 1 + Choose(3);
  }
}

bool Operator::IsKeptOut(const PatchPlan& plan) const {
  for (const PatchStatus& patch : world_.registry->Status().patches) {
    if (patch.stack_order == 0) continue;
    const PatchPlan& active = world_.plans.at(VersionOf(patch));
    const bool same_set = active.set == plan.set;
    if (!same_set && active.replaces_delta == plan.replaces_delta) return true;
    for (const auto& [id, version] : active.states) {
      const auto own = plan.states.find(id);
      if (own == plan.states.end() ? same_set && plan.replace && id == kPlain
                                   : !same_set || own->second < version) {
        return true;
      }
    }
  }
  return false;
}

CanarySpec Operator::SomeCanary() {
  switch (Choose(world_.behaviour.canaries ? 4 : 10)) {
    case 1:
      return {.threads = 1 + Choose(3)};
    case 2:
      return {.percent = 1 + Choose(100)};
    case 3:
      return {.names = Choose(4) == 0 ? "nobody" : "thread"};
    default:
      return {};
  }
}

void Operator::Examine() {
  PatchPlan plan;
  plan.version = ++world_.version;
  plan.has_module = world_.behaviour.modules;
  ChooseSetAndStates(&plan);
  const std::unique_ptr<Patch> patch = world_.host.MakePatch(plan);
  (void)world_.registry->Examine(patch.get());
}

void Operator::Revert() {
  const absl::StatusOr<std::string> reverted = world_.registry->Revert();
  if (!reverted.ok() && world_.registry->Status().transition.empty()) CheckSettled();
}

void Operator::Force() {
  if (Choose(6) != 0 || world_.registry->Status().transition.empty()) return;
  world_.forced = true;
  (void)world_.registry->Force(world_.registry->Status().transition);
}

void Operator::ArmSomeFailpoint() {
  constexpr const char* kNames[] = {"transition/allocate_text",     "transition/write_text",
                                    "transition/open_entries",      "transition/add_nops",
                                    "transition/start_coordinator", "transition/close_entries"};
  failpoint::DisarmAll();
  const uint32_t which = Choose(6);
  if (which == 5) world_.entries_may_be_open = true;
  (void)failpoint::Arm(kNames[which], Choose(3), 1);
}

// --- what must be so ---

void Operator::CheckSettled() {
  const CoreStatus status = world_.registry->Status();
  if (!status.transition.empty()) return;
  for (const PatchStatus& patch : status.patches) {
    if (patch.transition) Now().Violation("a patch is in no transition, and is");
  }
  CheckOnTop(status, kBeta);
  CheckOnTop(status, kDelta);
}

void Operator::CheckOnTop(const CoreStatus& status, Function function) {
  const PatchStatus* top = nullptr;
  for (const PatchStatus& patch : status.patches) {
    const bool has_it = world_.plans.at(VersionOf(patch)).replaces_delta == (function == kDelta);
    if (!patch.enabled || !has_it) continue;
    if (top == nullptr || patch.stack_order > top->stack_order) top = &patch;
  }
  const int expected = top == nullptr ? 0 : VersionOf(*top);
  const int actual = world_.host.VersionAt(CodeAddress{*world_.host.Site(function).slot});
  if (actual != expected) {
    Now().Violation("a slot leads to version %d, and on top is %d", actual, expected);
  }
}

// Who was not chosen runs the new code only if who created it did.
void Operator::CheckCanary() {
  const std::vector<ThreadStatus> all = world_.registry->Threads();
  const CoreStatus status = world_.registry->Status();
  if (!status.canary_held || world_.forced) return;
  const auto runs_old = [&all](int tid) {
    return std::any_of(all.begin(), all.end(), [tid](const ThreadStatus& thread) {
      return thread.tid == tid && thread.patch_state == 0;
    });
  };
  for (const ThreadStatus& thread : all) {
    if (thread.asked && thread.patch_state == 0) Now().Violation("a held canary has not switched");
    if (thread.asked || thread.patch_state != 1) continue;
    // Of contexts nobody says who made them.
    if (world_.behaviour.contexts_max > 0) continue;
    const SimulatedThread* const simulated = SimulatedThread::Find(thread.tid);
    if (simulated == nullptr) continue;
    if (simulated->creator_tid == 0 || runs_old(simulated->creator_tid)) {
      Now().Violation("thread %d runs the canary's code, and was not chosen", thread.tid);
    }
  }
}

void Operator::DisableAll() {
  while (true) {
    std::string enabled;
    for (const PatchStatus& patch : world_.registry->Status().patches) {
      if (patch.enabled) enabled = patch.name;
    }
    if (enabled.empty()) return;
    if (enabled.find('~') == std::string::npos) enabled += "~1";
    Require(world_.registry->Disable(enabled), "a patch cannot be disabled");
    NextPhase();
    AwaitTransition();
  }
}

void Operator::End() {
  failpoint::DisarmAll();
  AwaitTransition();
  DisableAll();
  CheckSettled();
  world_.stopping = true;
  if (world_.explored) Now().Point({.location = Access::kEnds});
  while (!world_.AllDone()) Sleep(absl::Milliseconds(1));
  if (world_.host.has_module()) world_.LoadOrUnloadModule();
  Sleep(absl::Seconds(1));
  if (!world_.host.Pristine(world_.entries_may_be_open)) {
    Now().Violation("all patches are off, and an entry or slot is not as before");
  }
  RegistryInspector::CheckNothingLeft();
  CheckEvents();
}

void Operator::CheckEvents() {
  if (world_.explored) {
    transitions_ = world_.completed;
    if (!world_.event_order.idle()) Now().Violation("a transition has no end");
    return;
  }
  EventOrder order;
  for (const Event& event : world_.events.ReadAfter(0, absl::ZeroDuration())) {
    if (!order.Accept(event.kind)) Now().Violation("event %s comes too soon", event.kind.c_str());
    if (event.kind == "transition_complete") ++transitions_;
  }
  if (!order.idle()) Now().Violation("a transition has no end");
}

}  // namespace mend::simulation
