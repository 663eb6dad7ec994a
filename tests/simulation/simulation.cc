// Runs histories of the core, chosen at random or all that there are within a bound, until one
// breaks an invariant.
//
//   simulation [--histories N] [--seed S]    N random histories, beginning with seed S
//   simulation --exhaustive DEVIATIONS       two threads, two functions, two patches: every history
//                                            that differs from the plain one in so many choices
//
// Prints "violation: ..." with the seed, and exits with 1, when an invariant breaks. The same seed
// gives the same history. MEND_SIMULATION_SEED and MEND_SIMULATION_HISTORIES do what the options
// do.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/event_log.h"
#include "runtime/base/failpoint.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/patch_registry.h"
#include "tests/simulation/arena.h"
#include "tests/simulation/guest_calls.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/scheduler.h"

namespace mend::simulation {
namespace {

constexpr uint64_t kPointsMax = 2'000'000;

class ModelLoader : public PatchLoader {
 public:
  absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule&) override {
    return absl::UnimplementedError("the simulation makes its patches itself");
  }
  absl::StatusOr<FunctionSite> FindFunction(const std::string&) const override {
    return absl::UnimplementedError("the simulation makes its sites itself");
  }
  std::string Describe(CodeAddress) const override { return "f"; }
};

class RandomChooser : public Chooser {
 public:
  explicit RandomChooser(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {
    constexpr uint32_t kPeriods[] = {2, 6, 20, 80};
    period_ = kPeriods[Next() % 4];
  }
  uint32_t Choose(uint32_t n) override { return static_cast<uint32_t>(Next() % n); }
  uint32_t ChooseFiber(uint32_t n) override { return Choose(period_) == 0 ? Choose(n) : 0; }

 private:
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 11;
  }
  uint64_t state_;
  uint32_t period_ = 2;
};

// Depth first over all choices of fibers in which at most `deviations_max` are not the default.
class ExhaustiveChooser : public Chooser {
 public:
  explicit ExhaustiveChooser(int deviations_max) : deviations_max_(deviations_max) {
    // It grows in histories, whose memory does not last.
    choices_.reserve(kPointsMax);
  }
  uint32_t Choose(uint32_t) override { return 0; }
  uint32_t ChooseFiber(uint32_t n) override {
    if (at_ == choices_.size()) choices_.push_back({0, n});
    return choices_[at_++].taken;
  }
  // The next history; false when there is none.
  bool Next() {
    choices_.resize(at_);
    at_ = 0;
    int deviations = 0;
    for (const Choice& choice : choices_) deviations += choice.taken != 0 ? 1 : 0;
    while (!choices_.empty()) {
      Choice& last = choices_.back();
      const bool deviates = last.taken != 0;
      if (last.taken + 1 < last.of && (deviates || deviations < deviations_max_)) {
        ++last.taken;
        return true;
      }
      if (deviates) --deviations;
      choices_.pop_back();
    }
    return false;
  }

 private:
  struct Choice {
    uint32_t taken;
    uint32_t of;
  };
  const int deviations_max_;
  std::vector<Choice> choices_;
  size_t at_ = 0;
};

struct Totals {
  uint64_t histories = 0;
  uint64_t points = 0;
  uint64_t units = 0;
  uint64_t transitions = 0;
};

// The fiber that operates the process, and the whole history's main one.
class Operator {
 public:
  Operator(World* world, EventLog* events) : world_(*world), events_(*events) {}

  void RunRandomly() {
    Begin();
    StartThreads(1 + Choose(3));
    for (uint32_t left = 3 + Choose(8); left > 0; --left) {
      RandomOperation();
      if (world_.behaviour.handlers) world_.threads[Choose(Threads())]->MaybeInterrupt();
    }
    End();
  }

  void RunExhaustively() {
    Begin();
    StartThreads(2);
    for (int version = 1; version <= 2; ++version) {
      (void)registry_->Enable(world_.host.MakePatch(version, true));
      Require(registry_->Wait(absl::Seconds(60)), "a transition does not end");
    }
    End();
  }

  uint64_t transitions() const { return transitions_; }

 private:
  uint32_t Choose(uint32_t n) { return Scheduler::Current()->chooser()->Choose(n); }
  uint32_t Threads() const { return static_cast<uint32_t>(world_.threads.size()); }

  void Require(const absl::Status& status, const char* what) {
    if (status.ok()) return;
    Scheduler::Current()->Violation("%s: %s", what, std::string(status.message()).c_str());
  }

  void Begin() {
    RegistryOptions options;
    options.adopt_unknown_threads = false;
    constexpr int kSignalDelaysUs[] = {10'000, 0, 50, 1'000};
    options.signal_delay = absl::Microseconds(kSignalDelaysUs[Choose(4)]);
    auto created = PatchRegistry::Create(&world_.host, &loader_, &events_, options);
    Require(created.status(), "no registry");
    registry_ = created->release();  // outlives the history, like its threads
  }

  void StartThreads(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      world_.NewThread()->Start(ThreadRegistry::Get().PrepareChild());
    }
  }

  void Sleep(absl::Duration time) {
    static int nothing;
    Scheduler::Current()->Sleep(&nothing, absl::ToInt64Nanoseconds(time));
  }

  std::string SomePatch() {
    const std::vector<PatchStatus> patches = registry_->Status().patches;
    if (patches.empty()) return "none";
    const std::string& name = patches[Choose(static_cast<uint32_t>(patches.size()))].name;
    return name.find('~') == std::string::npos ? name + "~1" : name;
  }

  void RandomOperation() {
    if (Choose(12) == 0) ArmSomeFailpoint();
    switch (Choose(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        (void)registry_->Enable(world_.host.MakePatch(++version_, Choose(2) == 0));
        break;
      case 5:
      case 6:
        (void)registry_->Disable(SomePatch());
        break;
      case 7:
        (void)registry_->EnableAgain(SomePatch());
        break;
      case 8:
      case 9:
        (void)registry_->Reverse(registry_->Status().transition);
        break;
      case 10:
        if (Choose(6) == 0 && !registry_->Status().transition.empty()) {
          world_.forced = true;
          (void)registry_->Force(registry_->Status().transition);
        }
        break;
      case 11:
      case 12:
        (void)registry_->Remove(SomePatch());
        break;
      case 13:
        Sleep(absl::Microseconds(Choose(20'000)));
        break;
      default:
        Require(registry_->Wait(absl::Seconds(60)), "a transition does not end");
        CheckSettled();
        break;
    }
  }

  void ArmSomeFailpoint() {
    constexpr const char* kNames[] = {"transition/allocate_text", "transition/write_text",
                                      "transition/open_entries", "transition/add_nops"};
    failpoint::DisarmAll();
    (void)failpoint::Arm(kNames[Choose(4)], 0, 1);
  }

  // Outside of a transition all agree on what runs.
  void CheckSettled() {
    const CoreStatus status = registry_->Status();
    if (!status.transition.empty()) return;
    bool enabled = false;
    for (const PatchStatus& patch : status.patches) {
      enabled = enabled || patch.enabled;
      if (patch.transition) Scheduler::Current()->Violation("a patch is in no transition, and is");
    }
    const bool beta_patched =
        *world_.host.Site(kBeta).slot != world_.host.Site(kBeta).entry.value + kEntryStubSize;
    if (enabled != beta_patched) {
      Scheduler::Current()->Violation("the slot of a function does not hold what is on top");
    }
  }

  // Everything off again; then nothing may be left.
  void End() {
    failpoint::DisarmAll();
    Require(registry_->Wait(absl::Seconds(60)), "a transition does not end");
    while (true) {
      std::string enabled;
      for (const PatchStatus& patch : registry_->Status().patches) {
        if (patch.enabled) enabled = patch.name;
      }
      if (enabled.empty()) break;
      if (enabled.find('~') == std::string::npos) enabled += "~1";
      Require(registry_->Disable(enabled), "a patch cannot be disabled");
      Require(registry_->Wait(absl::Seconds(60)), "a transition does not end");
    }
    CheckSettled();
    world_.stopping = true;
    while (!world_.AllDone()) Sleep(absl::Milliseconds(1));
    Sleep(absl::Seconds(1));
    if (!world_.host.Pristine()) {
      Scheduler::Current()->Violation("all patches are off, and an entry or slot is not as before");
    }
    if (world_.host.live_texts() != 0) Scheduler::Current()->Violation("trampolines leak");
    CheckEvents();
  }

  // What was enabled or reversed also completed, one after the other.
  void CheckEvents() {
    bool running = false;
    for (const Event& event : events_.ReadAfter(0, absl::ZeroDuration())) {
      if (event.kind == "transition_init") {
        if (running) Scheduler::Current()->Violation("two transitions at a time");
        running = true;
      } else if (event.kind == "transition_complete") {
        if (!running) Scheduler::Current()->Violation("a transition ends that did not begin");
        running = false;
        ++transitions_;
      } else if (event.kind == "transition_start" && !running) {
        Scheduler::Current()->Violation("a transition starts that was not initialized");
      }
    }
    if (running) Scheduler::Current()->Violation("a transition has no end");
  }

  World& world_;
  EventLog& events_;
  ModelLoader loader_;
  PatchRegistry* registry_ = nullptr;
  int version_ = 0;
  uint64_t transitions_ = 0;
};

// How the history came to its end.
void PrintWorld(const World& world, const EventLog& events) {
  for (const Event& event : events.ReadAfter(0, absl::ZeroDuration())) {
    printf("  %lu.%09lu %s %s %s\n", event.time_ns / 1'000'000'000, event.time_ns % 1'000'000'000,
           event.kind.c_str(), event.text.c_str(),
           event.tid == 0 ? "" : std::to_string(event.tid).c_str());
  }
  for (const auto& thread : world.threads) {
    printf("  thread %d: %s, %d units, pc %#lx, returns to", thread->tid,
           thread->done ? "ended" : "alive", thread->units_done, thread->pc.value);
    for (const SimulatedThread::Frame& frame : thread->frames) printf(" %#lx", frame.pc.value);
    printf("\n");
  }
}

// Returns the violation, or "".
std::string RunHistory(Chooser* chooser, bool random, Totals* totals) {
  Arena::Get().Begin();
  ResetCore();
  std::string violation;
  {
    World world;
    EventLog events;
    CurrentWorld() = &world;
    if (random) {
      world.behaviour.units = 1 + static_cast<int>(chooser->Choose(4));
      world.behaviour.births_max = static_cast<int>(chooser->Choose(6));
      world.behaviour.blocks = chooser->Choose(4) != 0;
      world.behaviour.handlers = chooser->Choose(3) == 0;
    } else {
      world.behaviour = {.units = 1, .stay = false, .blocks = false, .random_work = false};
    }
    Scheduler scheduler(chooser, kPointsMax);
    Operator operation(&world, &events);
    scheduler.set_invariants([&world] { world.CheckInvariants(); });
    Fiber* const main = scheduler.Spawn("operator", [&operation, random] {
      if (random) {
        operation.RunRandomly();
      } else {
        operation.RunExhaustively();
      }
    });
    violation = scheduler.Run(main);
    Arena::Get().End();
    if (!violation.empty()) PrintWorld(world, events);
    totals->points += scheduler.points();
    totals->units += world.units;
    totals->transitions += operation.transitions();
    ++totals->histories;
  }
  CurrentWorld() = nullptr;
  return violation;
}

int Report(const Totals& totals) {
  printf("%lu histories, %lu points, %lu units, %lu transitions: no violation\n", totals.histories,
         totals.points, totals.units, totals.transitions);
  return 0;
}

int RunRandom(uint64_t seed, uint64_t histories) {
  Totals totals;
  for (uint64_t i = 0; i < histories; ++i) {
    RandomChooser chooser(seed + i);
    const std::string violation = RunHistory(&chooser, true, &totals);
    if (violation.empty()) continue;
    printf("violation: %s\nMEND_SIMULATION_SEED=%lu MEND_SIMULATION_HISTORIES=1 (history %lu)\n",
           violation.c_str(), seed + i, i + 1);
    return 1;
  }
  return Report(totals);
}

int RunExhaustive(int deviations_max) {
  Totals totals;
  ExhaustiveChooser chooser(deviations_max);
  do {
    const std::string violation = RunHistory(&chooser, false, &totals);
    if (violation.empty()) continue;
    printf("violation: %s\n(history %lu)\n", violation.c_str(), totals.histories);
    return 1;
  } while (chooser.Next());
  return Report(totals);
}

uint64_t Number(const char* text, uint64_t otherwise) {
  return text == nullptr ? otherwise : strtoul(text, nullptr, 10);
}

int Main(int argc, char** argv) {
  uint64_t seed = Number(getenv("MEND_SIMULATION_SEED"), 1);
  uint64_t histories = Number(getenv("MEND_SIMULATION_HISTORIES"), 1000);
  for (int i = 1; i + 1 < argc; i += 2) {
    const uint64_t value = Number(argv[i + 1], 0);
    if (strcmp(argv[i], "--exhaustive") == 0) return RunExhaustive(static_cast<int>(value));
    if (strcmp(argv[i], "--seed") == 0) seed = value;
    if (strcmp(argv[i], "--histories") == 0) histories = value;
  }
  return RunRandom(seed, histories);
}

}  // namespace
}  // namespace mend::simulation

int main(int argc, char** argv) { return mend::simulation::Main(argc, argv); }
