// How each kind of thread switches: asleep, at its poll, by a signal, outside of hosted code, when
// it is new or unknown; and what keeps it from switching.
#include <gmock/gmock.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/transition/transition_fixture.h"
#include "tests/runtime/transition/versioned_functions.h"

namespace mend::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::atomic<bool> stop{false};
std::atomic<int> loops{0};

// Runs until told to stop, past a poll in each turn unless `argument` is 0.
MEND_NATIVE(spinner) {
  loops.fetch_add(1);
  while (!stop.load(std::memory_order_relaxed)) {
    if (argument != 0) Poll();
  }
  return Opaque(1);
}
MEND_NATIVE(spinner_2) { return Opaque(argument + 2); }

// Asleep in a call that the kernel does not restart: every signal is one more loop.
MEND_NATIVE(dozer) {
  while (!stop.load()) {
    loops.fetch_add(1);
    RawSyscall(SYS_poll, 0, 0, -1);
  }
  return Opaque(argument + 1);
}
MEND_NATIVE(dozer_2) { return Opaque(argument + 2); }

NativeFunction Spinner() { return MEND_NATIVE_FUNCTION(spinner); }
NativeFunction Spinner2() { return MEND_NATIVE_FUNCTION(spinner_2); }
NativeFunction Dozer() { return MEND_NATIVE_FUNCTION(dozer); }
NativeFunction Dozer2() { return MEND_NATIVE_FUNCTION(dozer_2); }

class ThreadSwitchTest : public TransitionTest {
 protected:
  void SetUp() override {
    TransitionTest::SetUp();
    stop.store(false);
    loops.store(0);
  }
  void TearDown() override {
    stop.store(true);
    TransitionTest::TearDown();
  }
  // A thread whose body counts its loops, and is in them when this returns.
  void SpawnLooping(std::function<void()> body) {
    Spawn(std::move(body));
    while (loops.load() == 0) std::this_thread::yield();
  }
  // A thread in `spinner`, which is replaced, holds the transition up until it leaves it.
  void ExpectSpinnerHoldsTheTransitionUp(int argument) {
    SpawnLooping([argument] { spinner(argument); });
    Enable(MakePatch("fix", true, {{Spinner(), Spinner2()}}));
    EXPECT_THAT(AwaitReason("in spinner"), HasSubstr("in spinner"));
    stop = true;
    Settle();
  }
};

TEST_F(ThreadSwitchTest, T4_BlockedThreadOutsideOfOldCodeSwitchesAsleep) {
  std::atomic<int> got{0};
  ProgramThread& thread = Spawn([&] {
    gate_.Await(true);
    got = alpha(0);
  });
  gate_.AwaitWaiter();
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_GE(registry().LastTransition().switched.blocked, 1u);
  EXPECT_TRUE(gate_.waited_for()) << "it was not woken";
  gate_.Open();
  thread.Join();
  EXPECT_EQ(got, 2);
}

TEST_F(ThreadSwitchTest, T4_BlockedThreadInOldCodeHoldsTheTransitionUp) {
  OccupySleeper();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}})).ok());
  EXPECT_EQ(registry().Wait(kNotYet).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(AwaitReason("in sleeper"), HasSubstr("in sleeper"));
  const CoreStatus status = registry().Status();
  EXPECT_EQ(status.transition, "fix");
  EXPECT_EQ(status.threads_left, 1u);
  bool found = false;
  for (const ThreadStatus& view : registry().Threads()) {
    if (view.straggler_function != "sleeper") continue;
    found = true;
    EXPECT_EQ(view.activity, Activity::kBlocked);
    EXPECT_EQ(view.blocked_in, "Gate::Await");
    EXPECT_EQ(view.patch_state, 0);
    EXPECT_EQ(view.straggler.reason, SwitchResult::kOnStack);
    EXPECT_GE(view.straggler.tries, 1u);
    EXPECT_GT(view.straggler.since_ns, 0);
  }
  EXPECT_TRUE(found);
  EXPECT_THAT(Kinds("fix"), Contains("thread_on_stack"));
  gate_.Open();
  EXPECT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_THAT(registry().LastTransition().last_straggler, HasSubstr("sleeper"));
}

TEST_F(ThreadSwitchTest, T9_RunningThreadSwitchesAtItsPoll) {
  SpawnLooping([] {
    while (!stop.load()) {
      loops.fetch_add(1);
      Poll();
    }
  });
  options_.signal_delay = absl::Hours(1);
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(registry().LastTransition().switched.poll, 1u);
  EXPECT_EQ(registry().LastTransition().switched.signal, 0u);
  stop = true;
}

TEST_F(ThreadSwitchTest, T4_RunningThreadWithoutPollsIsSignalled) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  SpawnLooping([] {
    loops.fetch_add(1);
    while (!stop.load(std::memory_order_relaxed)) {
    }
  });
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(registry().LastTransition().switched.signal, 1u);
  stop = true;
}

TEST_F(ThreadSwitchTest, T9_PollInsideOldCodeDoesNotSwitch) {
  ExpectSpinnerHoldsTheTransitionUp(1);
}

TEST_F(ThreadSwitchTest, SignalInsideOldCodeDoesNotSwitch) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  ExpectSpinnerHoldsTheTransitionUp(0);
}

TEST_F(ThreadSwitchTest, T10_ThreadAsleepInUnknownHostCodeIsPoked) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  Spawn([this] { gate_.Await(false); });
  gate_.AwaitWaiter();
  options_.poke_interval = absl::Milliseconds(200);
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  const TransitionReport report = registry().LastTransition();
  EXPECT_EQ(report.switched.signal, 1u);
  EXPECT_GE(absl::Nanoseconds(report.start_ns + report.switch_ns), options_.poke_interval)
      << "an EINTR is not risked lightly";
  EXPECT_THAT(Lines(), Contains("signaling remaining tasks").Times(1));
}

// A straggler that sleeps on in what is replaced is poked at every interval, and that is said once.
TEST_F(ThreadSwitchTest, T10_IsPokedAtEveryInterval) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  options_.poke_interval = absl::Milliseconds(100);
  SpawnLooping([] { dozer(0); });
  Enable(MakePatch("fix", true, {{Dozer(), Dozer2()}}));
  const absl::Time deadline = absl::Now() + kSoon;
  std::vector<std::string> lines;
  const auto is_said = [&] {
    for (std::string& line : Lines()) lines.push_back(std::move(line));
    return std::count(lines.begin(), lines.end(), "signaling remaining tasks");
  };
  while (is_said() == 0 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(1));
  const int poked = loops.load() + 3;
  while (loops.load() < poked && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_GE(loops.load(), poked);
  stop = true;
  Settle();
  EXPECT_EQ(dozer(0), 2);
  EXPECT_EQ(is_said(), 1);
}

TEST_F(ThreadSwitchTest, T8_ForeignThreadOutsideSwitchesOnTheSpot) {
  options_.adopt_unknown_threads = false;
  Gate inside;
  std::atomic<int> first{0};
  std::atomic<int> second{0};
  std::thread thread([&] {
    ThreadRegistry::Get().Enter();
    first = alpha(0);
    ThreadRegistry::Get().Leave();
    inside.Await(false);
    ThreadRegistry::Get().Enter();
    second = alpha(0);
    ThreadRegistry::Get().Leave();
  });
  inside.AwaitWaiter();
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_GE(registry().LastTransition().switched.outside, 1u);
  inside.Open();
  thread.join();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 2);
  // The thread ended without a word; its record must not be looked for.
  DisableAndWait("fix");
}

TEST_F(ThreadSwitchTest, UnknownThreadIsAdopted) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  Gate first_gate;
  Gate second_gate;
  std::atomic<int> first{0};
  std::atomic<int> second{0};
  LetSleepersWaitAt(&first_gate);
  std::thread thread([&] {
    first = sleeper(0);  // a raw call, unannounced
    second_gate.Await(false);
    second = sleeper(0);
  });
  first_gate.AwaitWaiter();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}})).ok());
  EXPECT_THAT(AwaitReason("in sleeper"), HasSubstr("in sleeper"));
  first_gate.Open();
  EXPECT_TRUE(registry().Wait(kSoon).ok());
  second_gate.Open();
  thread.join();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 2);
}

TEST_F(ThreadSwitchTest, T12_ThreadsCreatedDuringATransitionInherit) {
  OccupySleeper();
  ASSERT_TRUE(registry()
                  .Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}))
                  .ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  std::atomic<int> got{0};
  ProgramThread child([&] { got = alpha(0); });
  child.Join();
  EXPECT_EQ(got, 2) << "this thread has switched, so its child is born switched";
  gate_.Open();
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_GE(registry().LastTransition().switched.created, 1u);
}

TEST_F(ThreadSwitchTest, HeldFunctionKeepsItsThreadBack) {
  OccupySleeper();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha2()}}, {Sleeper()})).ok());
  EXPECT_THAT(AwaitReason("in sleeper"), HasSubstr("in sleeper"));
  gate_.Open();
  EXPECT_TRUE(registry().Wait(kSoon).ok());
}

std::atomic<int> handled{0};

void HandleWithHostedCode(int) {
  const SignalScope scope;
  handled.fetch_add(alpha(0));
}

// The core looks at all threads, the caller's own among them: a handler that ran on top of that
// would wait for its own thread.
TEST_F(ThreadSwitchTest, SignalsWaitWhileAThreadWorksForTheCore) {
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = HandleWithHostedCode;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  PatchRegistry& core = registry();
  std::atomic<bool> ready{false};
  std::atomic<bool> done{false};
  pthread_t caller = {};
  {
    Gate end;
    ProgramThread thread([&] {
      caller = pthread_self();
      ready.store(true);
      for (int i = 0; i < 20000; ++i) EXPECT_EQ(core.CheckTextUnused("none", {}), absl::OkStatus());
      done.store(true);
      end.Await(/*in_blocked_region=*/true);
    });
    const BlockedRegion region("the sender");
    while (!ready.load()) std::this_thread::yield();
    while (!done.load()) {
      pthread_kill(caller, SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(1));
    }
    end.Open();
  }
  EXPECT_GT(handled.load(), 0);
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(ThreadSwitchTest, ManyBlockedThreadsSwitchAtOnce) {
  constexpr unsigned kThreads = kTsan ? 50 : 500;
  for (unsigned i = 0; i < kThreads; ++i) Spawn([this] { gate_.Await(true); });
  const auto count_blocked = [this] {
    const std::vector<ThreadStatus> threads = registry().Threads();
    return std::count_if(threads.begin(), threads.end(), [](const ThreadStatus& thread) {
      return thread.activity == Activity::kBlocked;
    });
  };
  while (count_blocked() < kThreads) std::this_thread::yield();
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_GE(registry().LastTransition().switched.blocked, kThreads) << "beside this one, maybe";
  EXPECT_EQ(registry().LastTransition().switched.signal, 0u);
}

}  // namespace
}  // namespace mend::testing
