// The core under load: threads that loop, recurse, block, sort, throw, and create threads, call
// functions that must agree with each other, while patches come and go at random.
//
// Every patch replaces `middle` and `leaf` together, and holds `pair`. What must never be seen:
// inside one activation of `middle` a `leaf` of another version; inside one activation of `pair`
// two versions. The controls show that the test would see it: with the stack check off, and in a
// caller that is not held, there are mixes.
//
// The seed is printed; MEND_STRESS_SEED repeats it, MEND_STRESS_SECONDS says how long.
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "absl/time/clock.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/blocked_region.h"
#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {
namespace {

std::atomic<bool> stop{false};
std::atomic<uint64_t> mixes{0};
std::atomic<uint64_t> unheld_mixes{0};
std::atomic<uint64_t> calls{0};
std::atomic<uint64_t> versions_seen[4];

// What `middle` does between its two calls of `leaf`.
enum Work : int { kNothing, kSpin, kBlock, kRecurse, kSort, kThrow, kCreate, kWorks };

void ShortSleep() {
  std::atomic<uint32_t> never{0};
  const BlockedRegion region("ShortSleep");
  FutexWait(&never, 0, 50'000);
}

MEND_NATIVE(leaf) { return Opaque(argument * 0 + 0); }
MEND_NATIVE(leaf_1) { return Opaque(argument * 0 + 1); }
MEND_NATIVE(leaf_2) { return Opaque(argument * 0 + 2); }
MEND_NATIVE(leaf_3) { return Opaque(argument * 0 + 3); }

extern "C" int middle(int);
extern "C" int pair(int);
extern "C" int unheld_pair(int);

// What the threads of a test call, and what those that they create call: `pair` promises nothing
// where it is not held.
int (*unit)(int) = pair;

thread_local int expected_in_sort;

int CompareAndCheck(const void* a, const void* b) {
  if (leaf(0) != expected_in_sort) mixes.fetch_add(1);
  Poll();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

__attribute__((noinline)) void ThrowAfterCheck(int version) {
  if (leaf(0) != version) mixes.fetch_add(1);
  throw version;
}

void DoWork(int work, int version) {
  switch (work) {
    case kSpin:
      for (int i = 0; i < 200; ++i) {
        if (i % 16 == 0) Poll();
        Opaque(i);
      }
      break;
    case kBlock:
      ShortSleep();
      break;
    case kRecurse:
      // The recursion is part of the outer activation.
      if (middle(kBlock) != version || middle(kNothing) != version) mixes.fetch_add(1);
      break;
    case kSort: {
      int numbers[] = {5, 3, 9, 1, 7, 2, 8};
      const int outer = expected_in_sort;
      expected_in_sort = version;
      qsort(numbers, std::size(numbers), sizeof numbers[0], CompareAndCheck);
      expected_in_sort = outer;
      break;
    }
    case kThrow:
      try {
        ThrowAfterCheck(version);
      } catch (int thrown) {
        if (thrown != leaf(0)) mixes.fetch_add(1);
      }
      break;
    case kCreate: {
      // Its unit begins anew: only its own calls have to agree.
      ProgramThread child([] { unit(kNothing); });
      child.Join();
      break;
    }
    default:
      break;
  }
}

int Middle(int work, int version) {
  if (leaf(0) != version) mixes.fetch_add(1);
  DoWork(work, version);
  if (leaf(0) != version) mixes.fetch_add(1);
  return Opaque(version);
}

MEND_NATIVE(middle) { return Opaque(Middle(argument, 0)); }
MEND_NATIVE(middle_1) { return Opaque(Middle(argument, 1)); }
MEND_NATIVE(middle_2) { return Opaque(Middle(argument, 2)); }
MEND_NATIVE(middle_3) { return Opaque(Middle(argument, 3)); }

MEND_NATIVE(pair) {
  const int first = middle(argument);
  Poll();
  const int second = leaf(0);
  if (first != second) mixes.fetch_add(1);
  versions_seen[first].fetch_add(1, std::memory_order_relaxed);
  return Opaque(first);
}

// Neither replaced nor held: nothing is promised.
MEND_NATIVE(unheld_pair) {
  const int first = middle(argument);
  Poll();
  ShortSleep();
  const int second = leaf(0);
  if (first != second) unheld_mixes.fetch_add(1);
  return Opaque(first);
}

class CoreStressTest : public CoreTest {
 protected:
  void SetUp() override {
    CoreTest::SetUp();
    const char* const seed = getenv("MEND_STRESS_SEED");
    seed_ = seed != nullptr ? strtoul(seed, nullptr, 10) : std::random_device{}();
    printf("MEND_STRESS_SEED=%lu\n", seed_);
    random_.seed(seed_);
    stop = false;
    mixes = 0;
    unheld_mixes = 0;
    calls = 0;
    for (auto& seen : versions_seen) seen = 0;
  }

  int Random(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }

  std::unique_ptr<Patch> RandomPatch(bool hold) {
    const NativeFunction leaves[] = {MEND_NATIVE_FUNCTION(leaf_1), MEND_NATIVE_FUNCTION(leaf_2),
                                     MEND_NATIVE_FUNCTION(leaf_3)};
    const NativeFunction middles[] = {MEND_NATIVE_FUNCTION(middle_1),
                                      MEND_NATIVE_FUNCTION(middle_2),
                                      MEND_NATIVE_FUNCTION(middle_3)};
    const int version = Random(3);
    std::vector<NativeFunction> held;
    if (hold) held.push_back(MEND_NATIVE_FUNCTION(pair));
    return MakePatch("stress", Random(2) == 0,
                     {{MEND_NATIVE_FUNCTION(leaf), leaves[version]},
                      {MEND_NATIVE_FUNCTION(middle), middles[version]}},
                     held);
  }

  void StartThreads(int threads, int (*entry)(int)) {
    unit = entry;
    for (int i = 0; i < threads; ++i) {
      threads_.push_back(std::make_unique<ProgramThread>([i] {
        std::minstd_rand random(static_cast<unsigned>(i + 1));
        while (!stop.load(std::memory_order_relaxed)) {
          unit(static_cast<int>(random() % kWorks));
          calls.fetch_add(1, std::memory_order_relaxed);
          Poll();
        }
      }));
    }
  }

  // One random step; returns whether a transition was started.
  bool RandomStep(bool hold) {
    std::vector<std::string> enabled;
    for (const PatchStatus& patch : registry().Status().patches) {
      if (patch.enabled) enabled.push_back(patch.name);
    }
    bool started;
    if (!enabled.empty() && (Random(3) == 0 || enabled.size() > 4)) {
      const auto which = static_cast<size_t>(Random(static_cast<int>(enabled.size())));
      started = registry().Disable(ExactName(enabled[which])).ok();
    } else {
      started = registry().Enable(RandomPatch(hold)).ok();
    }
    // Reversals, some of them too late.
    for (int i = Random(4); i > 1; --i) {
      const std::string name = registry().Status().transition;
      if (!name.empty()) (void)registry().Reverse(name);
    }
    return started;
  }

  // Half of what was wished for: two tests take it.
  static absl::Duration TimeOr(absl::Duration otherwise) {
    const char* const wish = getenv("MEND_STRESS_SECONDS");
    return wish == nullptr ? otherwise : absl::Seconds(atoi(wish)) / 2;
  }

  void Run(absl::Duration time, bool hold) {
    const absl::Time end = absl::Now() + time;
    while (absl::Now() < end) {
      if (!RandomStep(hold)) continue;
      ++transitions_;
      const absl::Status done = registry().Wait(absl::Seconds(60));
      ASSERT_TRUE(done.ok()) << done << " seed " << seed_;
      for (const PatchStatus& patch : registry().Status().patches) {
        if (patch.enabled) continue;
        const absl::Status removed = registry().Remove(ExactName(patch.name));
        if (!removed.ok()) ++removals_later_;
      }
    }
    stop = true;
    threads_.clear();
    printf(
        "%d transitions, %lu calls, %lu mixes, %lu unheld mixes, %d removals put off; versions "
        "%lu %lu %lu %lu\n",
        transitions_, calls.load(), mixes.load(), unheld_mixes.load(), removals_later_,
        versions_seen[0].load(), versions_seen[1].load(), versions_seen[2].load(),
        versions_seen[3].load());
  }

  void TearDown() override {
    stop = true;
    threads_.clear();
    CoreTest::TearDown();
  }

  unsigned long seed_ = 0;
  std::mt19937 random_;
  int transitions_ = 0;
  int removals_later_ = 0;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

TEST_F(CoreStressTest, UnitsNeverMixVersions) {
  StartThreads(4, pair);
  Run(TimeOr(absl::Seconds(5)), /*hold=*/true);
  EXPECT_EQ(mixes, 0u);
  EXPECT_GT(transitions_, 10);
  EXPECT_GT(versions_seen[0] + versions_seen[1] + versions_seen[2] + versions_seen[3], 100u);
}

TEST_F(CoreStressTest, ManyMoreThreadsThanProcessors) {
  StartThreads(32, pair);
  Run(TimeOr(absl::Seconds(3)), /*hold=*/true);
  EXPECT_EQ(mixes, 0u);
  // With this many threads a transition lasts as long as the scheduler needs to come round.
  EXPECT_GE(transitions_, 1);
}

TEST_F(CoreStressTest, ControlWithoutStackCheckMixes) {
  ASSERT_TRUE(failpoint::Arm("safepoint/stack_check_off"));
  StartThreads(4, pair);
  Run(absl::Seconds(2), /*hold=*/true);
  EXPECT_GT(mixes, 0u) << "the test does not see mixes";
}

TEST_F(CoreStressTest, ControlCallerThatIsNotHeldMixes) {
  StartThreads(4, unheld_pair);
  Run(absl::Seconds(2), /*hold=*/false);
  EXPECT_GT(unheld_mixes, 0u) << "the test does not see mixes";
  EXPECT_EQ(mixes, 0u) << "the units themselves are whole";
}

}  // namespace
}  // namespace mend::testing
