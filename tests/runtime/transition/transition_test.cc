// The transition, path by path: each way a thread can switch, both directions, stacks of patches,
// atomic replace, reversal, force, and each step that can fail. Versions return distinct numbers,
// so that "which one ran" is one comparison; transitions assert the exact log.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/time/clock.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Gate* gate = nullptr;
std::atomic<bool> stop{false};
std::atomic<int> loops{0};

MEND_NATIVE(alpha) { return Opaque(argument + 1); }
MEND_NATIVE(alpha_2) { return Opaque(argument + 2); }
MEND_NATIVE(alpha_3) { return Opaque(argument + 3); }
MEND_NATIVE(beta) { return Opaque(argument + 10); }
MEND_NATIVE(beta_2) { return Opaque(argument + 20); }

// Versions that wait inside.
MEND_NATIVE(sleeper) {
  gate->Await(argument != 0);
  return Opaque(1);
}
MEND_NATIVE(sleeper_2) {
  gate->Await(argument != 0);
  return Opaque(2);
}
// Versions that run until told to stop.
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

NativeFunction Alpha() { return MEND_NATIVE_FUNCTION(alpha); }
NativeFunction Alpha2() { return MEND_NATIVE_FUNCTION(alpha_2); }
NativeFunction Alpha3() { return MEND_NATIVE_FUNCTION(alpha_3); }
NativeFunction Beta() { return MEND_NATIVE_FUNCTION(beta); }
NativeFunction Beta2() { return MEND_NATIVE_FUNCTION(beta_2); }
NativeFunction Sleeper() { return MEND_NATIVE_FUNCTION(sleeper); }
NativeFunction Sleeper2() { return MEND_NATIVE_FUNCTION(sleeper_2); }
NativeFunction Spinner() { return MEND_NATIVE_FUNCTION(spinner); }
NativeFunction Spinner2() { return MEND_NATIVE_FUNCTION(spinner_2); }

NativeFunction Dozer() { return MEND_NATIVE_FUNCTION(dozer); }
NativeFunction Dozer2() { return MEND_NATIVE_FUNCTION(dozer_2); }

class TransitionTest : public CoreTest {
 protected:
  void SetUp() override {
    CoreTest::SetUp();
    gate = &gate_;
    stop.store(false);
    loops.store(0);
  }
  void TearDown() override {
    stop.store(true);
    gate_.Open();
    threads_.clear();
    CoreTest::TearDown();
  }
  // The thread is joined at the end of the test, when the gate is open and the spinners stop.
  ProgramThread& Spawn(std::function<void()> body) {
    threads_.push_back(std::make_unique<ProgramThread>(std::move(body)));
    return *threads_.back();
  }
  Gate gate_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

TEST_F(TransitionTest, PatchAndUnpatchWithOneThread) {
  EXPECT_EQ(alpha(0), 1);
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(alpha(0), 2);
  EXPECT_TRUE(EntryOpen(Alpha()));
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'fix'", "'fix': initializing patching transition",
                          "'fix': starting patching transition",
                          "'fix': completing patching transition", "'fix': patching complete"));
  DisableAndWait("fix");
  EXPECT_EQ(alpha(0), 1);
  EXPECT_FALSE(EntryOpen(Alpha()));
  EXPECT_THAT(Lines(),
              ElementsAre("'fix': initializing unpatching transition",
                          "'fix': starting unpatching transition",
                          "'fix': completing unpatching transition", "'fix': unpatching complete"));
  EXPECT_EQ(host_.live_texts(), 0);
  ASSERT_TRUE(registry().Remove("fix").ok());
  EXPECT_THAT(registry().Status().patches, IsEmpty());
}

TEST_F(TransitionTest, SameContentIsAppliedOnce) {
  auto first = MakePatch("fix", true, {{Alpha(), Alpha2()}});
  auto second = MakePatch("fix", true, {{Alpha(), Alpha2()}});
  second->content_hash = first->content_hash;
  EnableAndWait(std::move(first));
  Lines();
  const auto name = registry().Enable(std::move(second));
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(*name, "fix");
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(TransitionTest, OtherContentIsANewGeneration) {
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  const auto name = registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha3()}}));
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(*name, "fix~2");
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 3);
  // A bare name means the newest generation.
  DisableAndWait("fix");
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(TransitionTest, R1_StackedPatchesAndTheMiddleOneDisabled) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}, {Beta(), Beta2()}}));
  EnableAndWait(MakePatch("two", false, {{Alpha(), Alpha3()}}));
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 20);
  EXPECT_EQ(registry().Status().patches[1].stack_order, 2u);
  DisableAndWait("one");
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 10);
  EXPECT_EQ(registry().Status().patches[1].stack_order, 1u);
  DisableAndWait("two");
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(TransitionTest, TopOfTheStackDisabledUncoversTheOlderVersion) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}}));
  EnableAndWait(MakePatch("two", false, {{Alpha(), Alpha3()}}));
  DisableAndWait("two");
  EXPECT_EQ(alpha(0), 2);
  EXPECT_TRUE(EntryOpen(Alpha()));
}

TEST_F(TransitionTest, R4_R6_CumulativePatchTakesTheOthersWithIt) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}}));
  EnableAndWait(MakePatch("two", false, {{Beta(), Beta2()}}));
  EnableAndWait(MakePatch("all", true, {{Alpha(), Alpha3()}}));
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 10);
  EXPECT_FALSE(EntryOpen(Beta()));
  const CoreStatus status = registry().Status();
  EXPECT_FALSE(status.patches[0].enabled);
  EXPECT_FALSE(status.patches[1].enabled);
  EXPECT_TRUE(status.patches[2].enabled);
  EXPECT_EQ(status.patches[2].stack_order, 1u);
  EXPECT_EQ(status.patches[2].functions.size(), 1u) << "nops are gone";
  // A replaced patch whose module is still here can come back.
  ASSERT_TRUE(registry().EnableAgain("one").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
}

// --- replace sets ---

class ReplaceSetTest : public TransitionTest {
 protected:
  std::unique_ptr<Patch> MakeSetPatch(const std::string& name, const std::string& set,
                                      const std::vector<Replacement>& replacements,
                                      bool replace = true) {
    std::unique_ptr<Patch> patch = MakePatch(name, replace, replacements);
    patch->replace_set = set;
    return patch;
  }
  std::string Refusal(std::unique_ptr<Patch> patch) {
    const auto name = registry().Enable(std::move(patch));
    return name.ok() ? "enabled" : std::string(name.status().message());
  }
};

TEST_F(ReplaceSetTest, ACumulativePatchReplacesThoseOfItsSetOnly) {
  EnableAndWait(MakeSetPatch("security", "", {{Alpha(), Alpha2()}}));
  EnableAndWait(MakeSetPatch("probe", "debug", {{Beta(), Beta2()}}));
  EXPECT_EQ(alpha(0), 2) << "of another set";
  EXPECT_EQ(beta(0), 20);
  EnableAndWait(MakeSetPatch("security", "", {{Alpha(), Alpha3()}}));
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 20);
  const CoreStatus status = registry().Status();
  EXPECT_FALSE(status.patches[0].enabled);
  EXPECT_TRUE(status.patches[1].enabled);
  EXPECT_EQ(status.patches[1].replace_set, "debug");
  // What the set's next patch does not have goes back, and nothing of the other set.
  EnableAndWait(MakeSetPatch("quiet", "debug", {}));
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 10);
  ASSERT_TRUE(registry().Revert().ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 20);
}

TEST_F(ReplaceSetTest, NoPatchIsBesideOneThatChangesALayout) {
  auto wider = MakeSetPatch("wider", "", {{Alpha(), Alpha2()}});
  wider->changed_layouts = {"context"};
  EnableAndWait(std::move(wider));
  const std::string refusal =
      "EINVAL: patch 'wider' changes the layout of 'context', and 'more' beside it would have the "
      "program's: make one cumulative patch of both";
  EXPECT_EQ(Refusal(MakeSetPatch("more", "", {{Beta(), Beta2()}}, /*replace=*/false)), refusal);
  EXPECT_EQ(Refusal(MakeSetPatch("more", "debug", {{Beta(), Beta2()}})), refusal);
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(beta(0), 10);
  // In its place it is welcome, and then others are beside that.
  EnableAndWait(MakeSetPatch("more", "", {{Beta(), Beta2()}}));
  EXPECT_EQ(alpha(0), 1);
  EnableAndWait(MakeSetPatch("probe", "debug", {{Alpha(), Alpha3()}}));
  wider = MakeSetPatch("wider", "", {{Beta(), Beta2()}});
  wider->changed_layouts = {"context"};
  EXPECT_EQ(Refusal(std::move(wider)),
            "EINVAL: patch 'wider~2' changes the layout of 'context', and 'probe' beside it would "
            "have the program's: make one cumulative patch of both");
  EXPECT_EQ(alpha(0), 3);
}

TEST_F(ReplaceSetTest, AFunctionOrStateOfAnotherSetIsRefused) {
  auto first = MakeSetPatch("one", "a", {{Alpha(), Alpha2()}}, /*replace=*/false);
  first->states = {{.id = 7, .version = 1, .record = nullptr}};
  EnableAndWait(std::move(first));
  Lines();
  EXPECT_EQ(Refusal(MakeSetPatch("two", "", {{Beta(), Beta2()}, {Alpha(), Alpha3()}})),
            "EINVAL: function 'alpha' belongs to patch 'one' of set 'a'");
  auto states = MakeSetPatch("three", "b", {{Beta(), Beta2()}});
  states->states = {{.id = 7, .version = 9, .record = nullptr}};
  EXPECT_EQ(Refusal(std::move(states)), "EINVAL: state 7 belongs to patch 'one' of set 'a'");
  EXPECT_THAT(Lines(), IsEmpty()) << "nothing has begun";
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(beta(0), 10);
  EXPECT_EQ(registry().Status().patches.size(), 1u);
  // Within the set both are as ever.
  EnableAndWait(MakeSetPatch("four", "a", {{Alpha(), Alpha3()}}, /*replace=*/false));
  EXPECT_EQ(alpha(0), 3);
}

TEST_F(ReplaceSetTest, WhatAnotherSetTookMeanwhileKeepsAPatchFromComingBack) {
  EnableAndWait(MakeSetPatch("one", "a", {{Alpha(), Alpha2()}}));
  EnableAndWait(MakeSetPatch("two", "a", {{Beta(), Beta2()}}));
  EnableAndWait(MakeSetPatch("three", "b", {{Alpha(), Alpha3()}}));
  const absl::Status again = registry().EnableAgain("one");
  EXPECT_EQ(std::string(again.message()),
            "EINVAL: function 'alpha' belongs to patch 'three' of set 'b'");
  EXPECT_EQ(alpha(0), 3);
  DisableAndWait("three");
  ASSERT_TRUE(registry().EnableAgain("one").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(beta(0), 10);
}

TEST_F(TransitionTest, R8_ReversedAtomicReplaceKeepsTheReplacedPatches) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}, {Sleeper(), Sleeper2()}}));
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry().Enable(MakePatch("all", true, {{Beta(), Beta2()}})).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok()) << "sleeper_2 goes away, and is on a stack";
  ASSERT_TRUE(registry().Disable("all").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(beta(0), 10);
  EXPECT_TRUE(registry().Status().patches[0].enabled);
  EXPECT_FALSE(registry().Status().patches[1].enabled);
  EXPECT_TRUE(registry().LastTransition().reversed);
}

TEST_F(TransitionTest, T4_BlockedThreadOutsideOfOldCodeSwitchesAsleep) {
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

TEST_F(TransitionTest, T4_BlockedThreadInOldCodeHoldsTheTransitionUp) {
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
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

TEST_F(TransitionTest, LC3_SecondTransitionIsRefusedWhileOneRuns) {
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  EnableAndWait(MakePatch("other", false, {{Beta(), Beta2()}}));
  ASSERT_TRUE(registry().Enable(MakePatch("fix", false, {{Sleeper(), Sleeper2()}})).ok());
  Lines();
  const auto second = registry().Enable(MakePatch("more", false, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), ::testing::StartsWith("EBUSY: "));
  EXPECT_EQ(registry().Disable("other").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(registry().Remove("fix").code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(TransitionTest, LC10_ReverseWhileStragglerIsInOldFunction) {
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry()
                  .Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}))
                  .ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(alpha(0), 2) << "this thread has switched";
  ASSERT_TRUE(registry().Reverse("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 1);
  EXPECT_FALSE(EntryOpen(Alpha()));
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'fix'", "'fix': initializing patching transition",
                          "'fix': starting patching transition",
                          "'fix': reversing transition from patching to unpatching",
                          "'fix': starting unpatching transition",
                          "'fix': completing unpatching transition", "'fix': unpatching complete"));
  EXPECT_EQ(registry().Reverse("fix").code(), absl::StatusCode::kFailedPrecondition);
}

// A write to `enabled` is judged and done in one step: of two people who take a patch back at the
// same time the second is told so, and does not turn it round once more.
TEST_F(TransitionTest, LC10_WhatIsAskedForTwiceIsDoneOnce) {
  EXPECT_EQ(registry().SetEnabled("fix", false).code(), absl::StatusCode::kNotFound);
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  EnableAndWait(MakePatch("other", false, {{Beta(), Beta2()}}));
  ASSERT_TRUE(registry().Enable(MakePatch("fix", false, {{Sleeper(), Sleeper2()}})).ok());
  EXPECT_EQ(registry().SetEnabled("fix", true).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry().SetEnabled("other", false).code(), absl::StatusCode::kUnavailable);
  // The deadline of who wanted it off, which it is not any more.
  EXPECT_EQ(registry().Reverse("fix", Direction::kUnpatching).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(registry().Force("fix", Direction::kUnpatching).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(registry().Status().patches[1].enabled);
  ASSERT_TRUE(registry().SetEnabled("fix", false).ok());
  EXPECT_EQ(registry().SetEnabled("fix", false).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_FALSE(registry().Status().patches[1].enabled);
  EXPECT_EQ(registry().SetEnabled("fix", true).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(registry().SetEnabled("other", false).ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(beta(0), 10);
}

TEST_F(TransitionTest, LC10_UnpatchingReversedToPatching) {
  EnableAndWait(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}));
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry().Disable("fix").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_FALSE(registry().Status().patches[0].enabled);
  EXPECT_EQ(alpha(0), 1);
  Lines();
  ASSERT_TRUE(registry().EnableAgain("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
  EXPECT_TRUE(registry().Status().patches[0].enabled);
  EXPECT_THAT(Lines(),
              ElementsAre("'fix': reversing transition from unpatching to patching",
                          "'fix': starting patching transition",
                          "'fix': completing patching transition", "'fix': patching complete"));
}

TEST_F(TransitionTest, ReversedTwice) {
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  // Held both ways by a thread that is asleep in a held function.
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha2()}}, {Sleeper()})).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(registry().Reverse("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok()) << "the sleeper never switched: nothing to undo";
  ASSERT_TRUE(registry().EnableAgain("fix").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  gate_.Open();
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
}

TEST_F(TransitionTest, T9_RunningThreadSwitchesAtItsPoll) {
  Spawn([] {
    while (!stop.load()) {
      loops.fetch_add(1);
      Poll();
    }
  });
  while (loops.load() == 0) std::this_thread::yield();
  options_.signal_delay = absl::Hours(1);
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(registry().LastTransition().switched.poll, 1u);
  EXPECT_EQ(registry().LastTransition().switched.signal, 0u);
  stop = true;
}

TEST_F(TransitionTest, T4_RunningThreadWithoutPollsIsSignalled) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  Spawn([] {
    loops.fetch_add(1);
    while (!stop.load(std::memory_order_relaxed)) {
    }
  });
  while (loops.load() == 0) std::this_thread::yield();
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(registry().LastTransition().switched.signal, 1u);
  stop = true;
}

TEST_F(TransitionTest, T9_PollInsideOldCodeDoesNotSwitch) {
  Spawn([] { spinner(1); });
  while (loops.load() == 0) std::this_thread::yield();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Spinner(), Spinner2()}})).ok());
  EXPECT_THAT(AwaitReason("in spinner"), HasSubstr("in spinner"));
  stop = true;
  EXPECT_TRUE(registry().Wait(kSoon).ok());
}

TEST_F(TransitionTest, SignalInsideOldCodeDoesNotSwitch) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  Spawn([] { spinner(0); });
  while (loops.load() == 0) std::this_thread::yield();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Spinner(), Spinner2()}})).ok());
  EXPECT_THAT(AwaitReason("in spinner"), HasSubstr("in spinner"));
  stop = true;
  EXPECT_TRUE(registry().Wait(kSoon).ok());
}

TEST_F(TransitionTest, T10_ThreadAsleepInUnknownHostCodeIsPoked) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  Spawn([this] { gate_.Await(false); });
  gate_.AwaitWaiter();
  options_.poke_interval = absl::Milliseconds(200);
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha2()}})).ok());
  EXPECT_FALSE(registry().Wait(absl::Milliseconds(100)).ok()) << "an EINTR is not risked lightly";
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(registry().LastTransition().switched.signal, 1u);
  EXPECT_THAT(Lines(), Contains("signaling remaining tasks").Times(1));
}

// A straggler that sleeps on in what is replaced is poked at every interval, and that is said once.
TEST_F(TransitionTest, T10_IsPokedAtEveryInterval) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  options_.poke_interval = absl::Milliseconds(100);
  Spawn([] { dozer(0); });
  while (loops.load() == 0) std::this_thread::yield();
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

TEST_F(TransitionTest, T8_ForeignThreadOutsideSwitchesOnTheSpot) {
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

TEST_F(TransitionTest, UnknownThreadIsAdopted) {
  if (kTsan) GTEST_SKIP() << "no signals under TSan";
  Gate first_gate;
  Gate second_gate;
  std::atomic<int> first{0};
  std::atomic<int> second{0};
  gate = &first_gate;
  std::thread thread([&] {
    first = sleeper(0);  // a raw call, unannounced
    second_gate.Await(false);
    second = sleeper(0);
  });
  first_gate.AwaitWaiter();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}})).ok());
  const absl::Status waited = registry().Wait(absl::Milliseconds(200));
  EXPECT_THAT(std::string(waited.message()), HasSubstr("in sleeper"));
  first_gate.Open();
  EXPECT_TRUE(registry().Wait(kSoon).ok());
  second_gate.Open();
  thread.join();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 2);
}

TEST_F(TransitionTest, T12_ThreadsCreatedDuringATransitionInherit) {
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
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

TEST_F(TransitionTest, HeldFunctionKeepsItsThreadBack) {
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha2()}}, {Sleeper()})).ok());
  EXPECT_THAT(AwaitReason("in sleeper"), HasSubstr("in sleeper"));
  gate_.Open();
  EXPECT_TRUE(registry().Wait(kSoon).ok());
}

TEST_F(TransitionTest, ForceCompletesAndQuarantines) {
  EnableAndWait(MakePatch("fix", true, {{Sleeper(), Sleeper2()}}));
  ProgramThread& thread = Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  EXPECT_EQ(registry().Force("fix").code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(registry().Disable("fix").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  Lines();
  ASSERT_TRUE(registry().Force("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_THAT(Lines(),
              ElementsAre("forcing remaining tasks to the patched state",
                          "'fix': completing unpatching transition", "'fix': unpatching complete"));
  EXPECT_EQ(registry().LastTransition().switched.forced, 1u);
  EXPECT_TRUE(registry().Status().patches[0].forced);
  const absl::Status removed = registry().Remove("fix");
  EXPECT_EQ(removed.code(), absl::StatusCode::kUnavailable) << removed;
  EXPECT_EQ(registry().EnableAgain("fix").code(), absl::StatusCode::kUnavailable);
  gate_.Open();
  thread.Join();
  EXPECT_TRUE(registry().Remove("fix").ok());
}

TEST_F(TransitionTest, WrongPatchesAreRefusedBeforeAnythingChanges) {
  auto twice = MakePatch("twice", true, {{Alpha(), Alpha2()}, {Alpha(), Alpha3()}});
  EXPECT_EQ(registry().Enable(std::move(twice)).status().code(), absl::StatusCode::kAlreadyExists);
  auto aliased = MakePatch("aliased", true, {{Alpha(), Alpha2()}, {Alpha(), Alpha3()}});
  aliased->objects[0].functions[1].old.name = "alias";
  EXPECT_EQ(registry().Enable(std::move(aliased)).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto unsized = MakePatch("unsized", true, {{Alpha(), Alpha2()}});
  unsized->objects[0].functions[0].old.size = 0;
  EXPECT_EQ(registry().Enable(std::move(unsized)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(registry().Disable("nothing").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Lines(), ElementsAre("kallsyms size lookup failed for 'alpha'"));
  EXPECT_THAT(registry().Status().patches, IsEmpty());
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(TransitionTest, EmptyPatchGoesThroughItsTransition) {
  EnableAndWait(MakePatch("empty", true, {}));
  DisableAndWait("empty");
}

class FailingStepTest : public TransitionTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(FailingStepTest, LeavesTheOlderPatchAndARetrySucceeds) {
  EnableAndWait(MakePatch("older", true, {{Alpha(), Alpha2()}}));
  ASSERT_TRUE(failpoint::Arm(GetParam(), 0, 1));
  const auto failed =
      registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha3()}, {Beta(), Beta2()}}));
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(beta(0), 10);
  EXPECT_FALSE(EntryOpen(Beta()));
  ASSERT_EQ(registry().Status().patches.size(), 1u);
  EXPECT_TRUE(registry().Status().patches[0].enabled);
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha3()}, {Beta(), Beta2()}}));
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(beta(0), 20);
  DisableAndWait("fix");
  EXPECT_EQ(host_.live_texts(), 0);
}

INSTANTIATE_TEST_SUITE_P(EachStep, FailingStepTest,
                         ::testing::Values("transition/start_coordinator", "transition/add_nops",
                                           "transition/allocate_text", "transition/write_text",
                                           "transition/open_entries"));

TEST_F(TransitionTest, LC6_FailedEnableLogsItsCancellation) {
  ASSERT_TRUE(failpoint::Arm("transition/open_entries", 0, 1));
  EXPECT_FALSE(registry().Enable(MakePatch("fix", true, {{Alpha(), Alpha2()}})).ok());
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'fix'", "'fix': initializing patching transition",
                          "failed to patch object 'program'", "failed to enable patch 'fix'",
                          "'fix': canceling patching transition, going to unpatch",
                          "'fix': completing unpatching transition", "'fix': unpatching complete"));
}

TEST_F(TransitionTest, FailedDisableKeepsThePatch) {
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  ASSERT_TRUE(failpoint::Arm("transition/allocate_text", 0, 1));
  EXPECT_FALSE(registry().Disable("fix").ok());
  EXPECT_EQ(alpha(0), 2);
  EXPECT_TRUE(registry().Status().patches[0].enabled);
  DisableAndWait("fix");
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(TransitionTest, EntryThatCannotBeClosedIsHarmless) {
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  ASSERT_TRUE(failpoint::Arm("transition/close_entries", 0, 1));
  DisableAndWait("fix");
  EXPECT_TRUE(EntryOpen(Alpha()));
  EXPECT_EQ(alpha(0), 1);
  EnableAndWait(MakePatch("again", true, {{Alpha(), Alpha3()}}));
  EXPECT_EQ(alpha(0), 3);
  DisableAndWait("again");
  EXPECT_FALSE(EntryOpen(Alpha()));
}

std::atomic<int> handled{0};

void HandleWithHostedCode(int) {
  const SignalScope scope;
  handled.fetch_add(alpha(0));
}

// The core looks at all threads, the caller's own among them: a handler that ran on top of that
// would wait for its own thread.
TEST_F(TransitionTest, SignalsWaitWhileAThreadWorksForTheCore) {
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

TEST_F(TransitionTest, ForkedChildFinishesTheTransitionByItself) {
  if (kTsan) GTEST_SKIP() << "threads after fork are not supported under TSan";
  Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry()
                  .Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}))
                  .ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  registry().PrepareFork();
  events_.PrepareFork();
  ThreadRegistry::Get().PrepareFork();
  const pid_t child = fork();
  if (child == 0) {
    ThreadRegistry::Get().ChildAfterFork();
    events_.AfterFork();
    registry().ChildAfterFork();
    // The sleeper is not here: nothing holds the child's transition up.
    int code = 0;
    if (!registry().Wait(kSoon).ok()) code = 1;
    if (alpha(0) != 2) code = 2;
    if (!registry().Disable("fix").ok() || !registry().Wait(kSoon).ok()) code = 3;
    if (alpha(0) != 1) code = 4;
    _exit(code);
  }
  ThreadRegistry::Get().ParentAfterFork();
  events_.AfterFork();
  registry().ParentAfterFork();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(registry().Status().transition, "fix") << "the parent's goes on";
  gate_.Open();
  EXPECT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
}

TEST_F(TransitionTest, ManyBlockedThreadsSwitchAtOnce) {
  constexpr int kThreads = kTsan ? 50 : 500;
  std::vector<std::unique_ptr<ProgramThread>> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(std::make_unique<ProgramThread>([this] { gate_.Await(true); }));
  }
  while (registry().Threads().size() < kThreads) std::this_thread::yield();
  absl::SleepFor(absl::Milliseconds(100));
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  const TransitionReport report = registry().LastTransition();
  EXPECT_GE(report.switched.blocked, kThreads * 9u / 10u);
  EXPECT_EQ(report.switched.signal, 0u);
  RecordProperty("switch_us", static_cast<int>(report.switch_ns / 1000));
  printf("%d blocked threads: start %.2f ms, switch %.2f ms, complete %.2f ms\n", kThreads,
         static_cast<double>(report.start_ns) * 1e-6, static_cast<double>(report.switch_ns) * 1e-6,
         static_cast<double>(report.complete_ns) * 1e-6);
  gate_.Open();
}

}  // namespace
}  // namespace mend::testing
