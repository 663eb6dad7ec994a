// The life of a transition: both directions, stacks of patches, atomic replace, reversal, force, a
// fork in the middle, and each step that can fail. Transitions assert the exact log.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "runtime/base/failpoint.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/transition/transition_fixture.h"
#include "tests/runtime/transition/versioned_functions.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

TEST_F(TransitionTest, R8_ReversedAtomicReplaceKeepsTheReplacedPatches) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}, {Sleeper(), Sleeper2()}}));
  OccupySleeper();
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

TEST_F(TransitionTest, LC3_SecondTransitionIsRefusedWhileOneRuns) {
  OccupySleeper();
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
  OccupySleeper();
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
  OccupySleeper();
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
  OccupySleeper();
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

TEST_F(TransitionTest, EnabledAgainAfterAReversal) {
  OccupySleeper();
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

TEST_F(TransitionTest, ForceCompletesAndQuarantines) {
  EnableAndWait(MakePatch("fix", true, {{Sleeper(), Sleeper2()}}));
  ProgramThread& thread = OccupySleeper();
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

TEST_F(TransitionTest, ForkedChildFinishesTheTransitionByItself) {
  if (kTsan) GTEST_SKIP() << "threads after fork are not supported under TSan";
  OccupySleeper();
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

}  // namespace
}  // namespace mend::testing
