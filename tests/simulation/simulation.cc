// Runs histories of the core, chosen at random or all that there are within a bound, until one
// breaks an invariant.
//
//   simulation [--histories N] [--seed S]    N random histories, beginning with seed S
//   simulation --exhaustive DEVIATIONS [--patches 1|2]
//                                            two threads, two functions, so many patches (2): every
//                                            history that differs from the plain one in at most so
//                                            many choices of the scheduler
//
//   simulation --explore [--threads N] [--patches N] [--preemptions N] [--unreduced] [--at-once]
//              [--in-order] [--compare DEVIATIONS] [--compare-unreduced]
//                                            all histories of the same, each state once
//                                            (explorer.h). --preemptions: those in which threads
//                                            that could go on give way so often at most, without
//                                            the partial-order reduction; nor with --unreduced.
//                                            --in-order: without the random histories that come
//                                            first with the reduction, so that what is found was
//                                            not found by them.
//                                            --at-once: no wait of the coordinator lasts long.
//                                            --compare: then looks whether a plain enumeration, up
//                                            to so many choices, ends in a state that was not found
//                                            --compare-unreduced: whether without the reduction
//                                            histories end in the same states, and fibers take the
//                                            same steps on the way
//
// Prints "violation: ..." with the seed, and exits with 1, when an invariant breaks. The same seed
// gives the same history. MEND_SIMULATION_SEED and MEND_SIMULATION_HISTORIES do what the options
// do.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <string>

#include "runtime/safepoint/thread_registry.h"
#include "tests/simulation/arena.h"
#include "tests/simulation/chooser.h"
#include "tests/simulation/explorer.h"
#include "tests/simulation/guest_calls.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/operator.h"
#include "tests/simulation/process.h"
#include "tests/simulation/registry_inspector.h"
#include "tests/simulation/scheduler.h"

namespace mend::simulation {
namespace {

constexpr uint64_t kPointsMax = 2'000'000;

// Shared with forked children.
struct Totals {
  uint64_t histories = 0;
  uint64_t children = 0;
  uint64_t points = 0;
  uint64_t units = 0;
  uint64_t transitions = 0;
};

Totals* totals = nullptr;

Totals* SharedTotals() {
  void* const memory =
      mmap(nullptr, sizeof(Totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) abort();
  return new (memory) Totals;
}

// How the history came to its end.
void PrintWorld(World& world) {
  // A thread that was dropped may hold the log.
  world.events.AfterFork();
  for (const Event& event : world.events.ReadAfter(0, absl::ZeroDuration())) {
    printf("  %lu.%09lu %s %s %s\n", event.time_ns / 1'000'000'000, event.time_ns % 1'000'000'000,
           event.kind.c_str(), event.text.c_str(),
           event.tid == 0 ? "" : std::to_string(event.tid).c_str());
  }
  for (const auto& thread : world.threads) {
    constexpr const char* kAnnounced[] = {"program's", "host's", "raw", "context, on"};
    printf("  %s thread %d: %s, %d units, pc %#lx, returns to",
           kAnnounced[static_cast<int>(thread->announcement)], thread->tid,
           thread->done ? "ended" : "alive", thread->units_done, thread->pc.value);
    for (const SimulatedThread::Frame& frame : thread->frames) printf(" %#lx", frame.pc.value);
    printf("\n");
  }
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (record->activity.Get() == Activity::kGone) continue;
    printf("  record %d: activity %d%s%s, epoch %u, acknowledged %lu\n", record->tid.load(),
           static_cast<int>(record->activity.Get()), record->suspended.load() ? ", suspended" : "",
           record->adopted.load() ? ", adopted" : "", record->epoch.load(), record->ack.load());
  }
}

void PrintFibers(const Scheduler& scheduler) {
  for (const auto& fiber : scheduler.fibers()) {
    if (fiber->done) continue;
    printf("  at %.6f s: '%s' %s", 1e-9 * static_cast<double>(scheduler.now_ns()), fiber->name,
           fiber.get() == scheduler.running() ? "runs" : "is ready");
    if (fiber->sleeps_on != nullptr)
      printf(", asleep until %.6f", 1e-9 * static_cast<double>(fiber->wake_ns));
    if (fiber->frozen_ns > scheduler.now_ns()) printf(", frozen");
    printf("\n");
  }
}

Behaviour RandomBehaviour(Chooser* chooser) {
  Behaviour behaviour;
  behaviour.units = 1 + static_cast<int>(chooser->Choose(4));
  behaviour.births_max = static_cast<int>(chooser->Choose(6));
  behaviour.blocks = chooser->Choose(4) != 0;
  behaviour.handlers = chooser->Choose(3) == 0;
  behaviour.raw_threads = chooser->Choose(3) == 0;
  behaviour.modules = chooser->Choose(3) == 0;
  behaviour.callbacks = chooser->Choose(3) == 0;
  if (chooser->Choose(3) == 0) behaviour.contexts_max = 1 + static_cast<int>(chooser->Choose(3));
  behaviour.canaries = chooser->Choose(4) == 0;
  behaviour.sets = chooser->Choose(3) == 0;
  behaviour.states = chooser->Choose(3) == 0;
  if (chooser->Choose(16) == 0) behaviour.forks_left = 1 + static_cast<int>(chooser->Choose(2));
  return behaviour;
}

void CheckAtPoint(World* world) {
  world->CheckInvariants();
  RegistryInspector::CheckAtPoint();
}

// Runs the history; returns the violation, or "". The points of `totals` are counted from here on
// in a forked child too.
std::string RunHistory(Chooser* chooser, World* world, int patches) {
  Scheduler scheduler(chooser, kPointsMax);
  Operator operation(world);
  Operator child_operation(world);
  scheduler.set_invariants([world] { CheckAtPoint(world); });
  SetChildOperator([&child_operation] { child_operation.RunInChild(); });
  Fiber* const main = scheduler.Spawn("operator", [&operation, patches] {
    if (patches == 0) {
      operation.RunRandomly();
    } else {
      operation.RunSmallBound(/*threads=*/2, patches);
    }
  });
  std::string violation = scheduler.Run(main);
  Arena::Get().End();
  if (!violation.empty()) PrintFibers(scheduler);
  if (!violation.empty()) PrintWorld(*world);
  totals->points += scheduler.points() - (world->depth > 0 ? PointsBeforeFork() : 0);
  totals->units += world->units;
  totals->transitions += operation.transitions() + child_operation.transitions();
  ++(world->depth == 0 ? totals->histories : totals->children);
  return violation;
}

// The same, with everything that belongs to a history; a forked child ends here.
// `patches`: of the small bound; 0: a random history.
std::string RunHistory(Chooser* chooser, int patches) {
  Arena::Get().Begin();
  ResetCore();
  std::string violation;
  {
    World world;
    CurrentWorld() = &world;
    world.behaviour =
        patches == 0 ? RandomBehaviour(chooser)
                     : Behaviour{.units = 1, .stay = false, .blocks = false, .random_work = false};
    violation = RunHistory(chooser, &world, patches);
    if (world.depth > 0) {
      if (!violation.empty()) printf("  in a forked child: %s\n", violation.c_str());
      fflush(stdout);
      _exit(violation.empty() ? 0 : 1);
    }
  }
  RegistryInspector::Watch(nullptr);
  CurrentWorld() = nullptr;
  return violation;
}

int Report() {
  printf(
      "%lu histories (%lu forked children), %lu points, %lu units, %lu transitions: no violation\n",
      totals->histories, totals->children, totals->points, totals->units, totals->transitions);
  return 0;
}

int RunRandom(uint64_t seed, uint64_t histories) {
  for (uint64_t i = 0; i < histories; ++i) {
    RandomChooser chooser(seed + i);
    const std::string violation = RunHistory(&chooser, /*patches=*/0);
    if (violation.empty()) continue;
    printf("violation: %s\nMEND_SIMULATION_SEED=%lu MEND_SIMULATION_HISTORIES=1 (history %lu)\n",
           violation.c_str(), seed + i, i + 1);
    return 1;
  }
  return Report();
}

int RunExhaustive(int deviations_max, int patches) {
  ExhaustiveChooser chooser(deviations_max, kPointsMax);
  do {
    const std::string violation = RunHistory(&chooser, patches);
    if (violation.empty()) continue;
    printf("violation: %s\n(history %lu)\n", violation.c_str(), totals->histories);
    return 1;
  } while (chooser.Next());
  return Report();
}

// --- all histories of a small bound ---

struct Bound {
  int threads = 2;
  int patches = 2;
  bool reduce = true;
  bool learns_first = true;
  bool time_passes = true;
  int preemptions = -1;
  int compare = -1;
  bool compare_unreduced = false;
};

class PlainChooser : public Chooser {
 public:
  uint32_t Choose(uint32_t) override { return 0; }
  uint32_t ChooseFiber(uint32_t) override { return 0; }
};

// What is made below the caller's frame, and copied with the gaps between its members, has zeros
// there.
[[gnu::noinline]] void ClearStack() {
  volatile char bytes[16 * 1024];
  for (volatile char& byte : bytes) byte = 0;
}

// Nothing of the world is taken down: the next history begins in its place.
std::string RunExplored(Explorer* explorer, const Bound& bound) {
  Arena::Get().BeginCompact();
  ResetCore();
  ResetCounters();
  RegistryInspector::Watch(nullptr);
  ClearStack();
  auto* const world = new World;
  CurrentWorld() = world;
  world->explored = true;
  world->behaviour = {.units = 1, .stay = false, .blocks = false, .random_work = false};
  auto* const operation = new Operator(world);
  // Where it always is: its address is on the fibers' stacks.
  static PlainChooser chooser;
  alignas(Scheduler) static char place[sizeof(Scheduler)];
  Scheduler& scheduler = *new (place) Scheduler(&chooser, kPointsMax);
  scheduler.set_now_ns(kExploredEpochNs);
  scheduler.set_invariants([world] { CheckAtPoint(world); });
  Fiber* const main = scheduler.Spawn(
      "operator", [operation, &bound] { operation->RunSmallBound(bound.threads, bound.patches); });
  explorer->Begin(&scheduler, world, 2 + static_cast<size_t>(bound.threads));
  const char* const violation = scheduler.RunGuided(main, explorer);
  Arena::Get().End();
  if (violation[0] != '\0') {
    PrintFibers(scheduler);
    PrintWorld(*world);
  }
  totals->points += scheduler.points();
  totals->units += world->units;
  totals->transitions += operation->transitions();
  CurrentWorld() = nullptr;
  RegistryInspector::Watch(nullptr);
  return violation;
}

// False, and says so, at a violation.
bool Explore(Explorer* explorer, const Bound& bound) {
  *totals = {};
  do {
    const std::string violation = RunExplored(explorer, bound);
    if (violation.empty()) continue;
    printf("violation: %s\n(pass %d, history %lu: %s)\n", violation.c_str(), explorer->passes(),
           explorer->histories(), explorer->Path().c_str());
    return false;
  } while (explorer->Next());
  printf("%zu states, %lu histories in the last of %d passes, %lu points; %zu end states\n",
         explorer->states(), explorer->histories(), explorer->passes(), totals->points,
         explorer->ends().size());
  return true;
}

int RunExplorer(const Bound& bound) {
  Explorer explorer({.reduce = bound.reduce && bound.preemptions < 0,
                     .learns_first = bound.learns_first,
                     .time_passes = bound.time_passes,
                     .preemptions_max = bound.preemptions});
  if (!Explore(&explorer, bound)) return 1;
  if (bound.compare >= 0) {
    Explorer plain({.reduce = false, .deviations_max = bound.compare});
    if (!Explore(&plain, bound)) return 1;
    if (!std::includes(explorer.ends().begin(), explorer.ends().end(), plain.ends().begin(),
                       plain.ends().end())) {
      printf("violation: the plain enumeration ends in a state that was not found\n");
      return 1;
    }
  }
  if (bound.compare_unreduced) {
    Explorer plain({.reduce = false, .time_passes = bound.time_passes});
    if (!Explore(&plain, bound)) return 1;
    printf("%zu steps of fibers, without the reduction %zu\n", explorer.Steps().size(),
           plain.Steps().size());
    if (explorer.ends() != plain.ends() || explorer.Steps() != plain.Steps()) {
      printf(
          "violation: without the reduction, fibers do something else or histories end "
          "otherwise\n");
      return 1;
    }
  }
  printf("no violation\n");
  return 0;
}

uint64_t Number(const char* text, uint64_t otherwise) {
  return text == nullptr ? otherwise : strtoul(text, nullptr, 10);
}

int Main(int argc, char** argv) {
  totals = SharedTotals();
  uint64_t seed = Number(getenv("MEND_SIMULATION_SEED"), 1);
  uint64_t histories = Number(getenv("MEND_SIMULATION_HISTORIES"), 1000);
  int deviations = -1;
  int patches = 2;
  bool explore = false;
  Bound bound;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--explore") == 0) explore = true;
    if (strcmp(argv[i], "--unreduced") == 0) bound.reduce = false;
    if (strcmp(argv[i], "--at-once") == 0) bound.time_passes = false;
    if (strcmp(argv[i], "--in-order") == 0) bound.learns_first = false;
    if (strcmp(argv[i], "--compare-unreduced") == 0) bound.compare_unreduced = true;
  }
  for (int i = 1; i + 1 < argc; ++i) {
    const uint64_t value = Number(argv[i + 1], 0);
    if (strcmp(argv[i], "--threads") == 0) bound.threads = static_cast<int>(value);
    if (strcmp(argv[i], "--preemptions") == 0) bound.preemptions = static_cast<int>(value);
    if (strcmp(argv[i], "--compare") == 0) bound.compare = static_cast<int>(value);
    if (strcmp(argv[i], "--exhaustive") == 0) deviations = static_cast<int>(value);
    if (strcmp(argv[i], "--patches") == 0) patches = static_cast<int>(value);
    if (strcmp(argv[i], "--seed") == 0) seed = value;
    if (strcmp(argv[i], "--histories") == 0) histories = value;
  }
  bound.patches = patches;
  if (explore) return RunExplorer(bound);
  if (deviations >= 0) return RunExhaustive(deviations, patches);
  return RunRandom(seed, histories);
}

}  // namespace
}  // namespace mend::simulation

int main(int argc, char** argv) { return mend::simulation::Main(argc, argv); }
