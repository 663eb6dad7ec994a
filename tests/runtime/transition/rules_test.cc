// The livepatch rules of the core that are about threads, stacks of versions, replacement, force
// and the life of a patch; the numbers are in the tests' names (tests/conformance/rules.txt).
#include <gmock/gmock.h>
#include <pthread.h>
#include <signal.h>

#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "runtime/safepoint/blocked_region.h"
#include "tests/runtime/transition/core_fixture.h"
#include "tests/runtime/transition/versioned_functions.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Gate* gate = nullptr;
std::function<void()> call_when_stay_is_left;

// Versions that wait inside.
MEND_NATIVE(sleeper) {
  gate->Await(true);
  return Opaque(argument + 1);
}
MEND_NATIVE(sleeper_2) {
  gate->Await(true);
  return Opaque(argument + 2);
}
MEND_NATIVE(sleeper_3) {
  gate->Await(true);
  return Opaque(argument + 3);
}
MEND_NATIVE(stay_and_call) {
  gate->Await(true);
  call_when_stay_is_left();
  return Opaque(argument);
}
MEND_NATIVE(go_and_call) {
  call_when_stay_is_left();
  return Opaque(argument);
}
// A stack of as many frames.
MEND_NATIVE(descend) {
  if (argument == 0) {
    gate->Await(true);
    return Opaque(0);
  }
  return Opaque(descend(Opaque(argument - 1)) + 1);
}

NativeFunction Sleeper() { return MEND_NATIVE_FUNCTION(sleeper); }
NativeFunction Sleeper2() { return MEND_NATIVE_FUNCTION(sleeper_2); }
NativeFunction Sleeper3() { return MEND_NATIVE_FUNCTION(sleeper_3); }
NativeFunction StayAndCall() { return MEND_NATIVE_FUNCTION(stay_and_call); }
NativeFunction GoAndCall() { return MEND_NATIVE_FUNCTION(go_and_call); }
NativeFunction Descend() { return MEND_NATIVE_FUNCTION(descend); }

class RulesTest : public CoreTest {
 protected:
  void SetUp() override {
    CoreTest::SetUp();
    gate = &gate_;
  }
  void TearDown() override {
    gate_.Open();
    for (const auto& other : other_gates_) other->Open();
    threads_.clear();
    CoreTest::TearDown();
  }
  // Until the transition is known to be held up by a thread in that function.
  void AwaitStragglerIn(const std::string& function) {
    const std::string wanted = " in " + function + " ";
    const absl::Time deadline = absl::Now() + kSoon;
    std::string found;
    do {
      const absl::Status waited = registry().Wait(absl::Milliseconds(5));
      ASSERT_FALSE(waited.ok()) << "nobody is in " << function;
      found = std::string(waited.message()) + " ";
    } while (found.find(wanted) == std::string::npos && absl::Now() < deadline);
    EXPECT_THAT(found, HasSubstr(wanted));
  }
  // A thread of the program that is asleep in `call`, until its gate is opened.
  Gate& Occupy(std::function<void()> call) {
    other_gates_.push_back(std::make_unique<Gate>());
    gate = other_gates_.back().get();
    threads_.push_back(std::make_unique<ProgramThread>(std::move(call)));
    gate->AwaitWaiter();
    return *gate;
  }
  std::map<int, int> PatchStates() {
    std::map<int, int> count;
    for (const ThreadStatus& thread : registry().Threads()) ++count[thread.patch_state];
    return count;
  }
  PatchStatus StatusOf(const std::string& name) {
    for (PatchStatus& patch : registry().Status().patches) {
      if (patch.name == name) return std::move(patch);
    }
    ADD_FAILURE() << "there is no patch " << name;
    return {};
  }

  Gate gate_;
  std::vector<std::unique_ptr<Gate>> other_gates_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

// --- the model ---

TEST_F(RulesTest, M5_OneEntryForTheStackOfVersionsOfAFunction) {
  const int batches = host_.entry_batches();
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}}));
  EXPECT_TRUE(EntryOpen(Alpha()));
  EXPECT_EQ(host_.entry_batches(), batches + 1);
  EnableAndWait(MakePatch("two", false, {{Alpha(), Alpha3()}}));
  EXPECT_EQ(alpha(0), 3) << "the newest is first";
  DisableAndWait("two");
  EXPECT_TRUE(EntryOpen(Alpha())) << "there is a version left";
  EXPECT_EQ(host_.entry_batches(), batches + 1) << "the second version found the entry open";
  DisableAndWait("one");
  EXPECT_FALSE(EntryOpen(Alpha()));
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(RulesTest, M6_T3_WhoeverHasNotSwitchedIsPending) {
  Gate& other = Occupy([] { sleeper(0); });
  EXPECT_EQ(PatchStates(), (std::map<int, int>{{-1, 2}}));
  Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}}));
  AwaitStragglerIn("sleeper");
  EXPECT_EQ(PatchStates(), (std::map<int, int>{{0, 1}, {1, 1}}));
  EXPECT_EQ(registry().Status().threads_left, 1u);
  other.Open();
  Settle();
  threads_.clear();
  EXPECT_EQ(PatchStates(), (std::map<int, int>{{-1, 1}}));
  // The other way round it is the straggler that is patched.
  Gate& again = Occupy([] { sleeper(0); });
  ASSERT_TRUE(registry().Disable("fix").ok());
  AwaitStragglerIn("sleeper_2");
  EXPECT_EQ(PatchStates(), (std::map<int, int>{{0, 1}, {1, 1}}));
  for (const ThreadStatus& thread : registry().Threads()) {
    EXPECT_EQ(thread.patch_state == 1, thread.straggler_function == "sleeper_2");
  }
  again.Open();
  Settle();
}

TEST_F(RulesTest, M7_ActivePatchesAreInLoadOrderAndOneIsInTransition) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}}));
  EnableAndWait(MakePatch("two", false, {{Beta(), Beta2()}}));
  DisableAndWait("one");
  EXPECT_EQ(StatusOf("one").stack_order, 0u) << "not active";
  EXPECT_EQ(StatusOf("two").stack_order, 1u);
  ASSERT_TRUE(registry().EnableAgain("one").ok());
  Settle();
  EXPECT_EQ(StatusOf("two").stack_order, 1u);
  EXPECT_EQ(StatusOf("one").stack_order, 2u) << "loaded last";
  Occupy([] { sleeper(0); });
  Enable(MakePatch("three", false, {{Sleeper(), Sleeper2()}}));
  EXPECT_EQ(registry().Status().transition, "three");
  EXPECT_TRUE(StatusOf("three").transition);
  EXPECT_FALSE(StatusOf("one").transition);
  EXPECT_EQ(StatusOf("three").stack_order, 3u) << "in transition it is in the list, too";
}

// --- life cycle ---

TEST_F(RulesTest, LC5_AllFunctionsOfAnObjectOrNone) {
  auto patch = MakePatch("fix", true, {{Alpha(), Alpha2()}, {Beta(), Beta2()}});
  const PatchObject& object = patch->objects[0];
  const Patch* const fix = patch.get();
  EnableAndWait(std::move(patch));
  DisableAndWait("fix");
  ASSERT_TRUE(failpoint::Arm("transition/open_entries", 0, 1));
  EXPECT_EQ(ErrnoOfStatus(registry().EnableAgain("fix")), EIO);
  EXPECT_FALSE(object.patched);
  for (const PatchFunction& function : object.functions) {
    EXPECT_FALSE(function.patched) << function.old.name;
    EXPECT_FALSE(function.transition) << function.old.name;
    EXPECT_EQ(*function.old.slot, function.old.entry.value + kEntryStubSize) << function.old.name;
  }
  EXPECT_FALSE(fix->enabled);
  EXPECT_EQ(alpha(0), 1);
  EXPECT_EQ(beta(0), 10);
}

TEST_F(RulesTest, LC7_AnyEnabledPatchCanBeDisabled) {
  EnableAndWait(MakePatch("one", false, {{Alpha(), Alpha2()}}));
  EnableAndWait(MakePatch("two", false, {{Alpha(), Alpha3()}, {Beta(), Beta2()}}));
  EnableAndWait(MakePatch("three", false, {{Beta(), Beta3()}}));
  (void)Lines();
  DisableAndWait("two");
  EXPECT_EQ(alpha(0), 2) << "uncovered";
  EXPECT_EQ(beta(0), 30);
  DisableAndWait("one");
  EXPECT_EQ(alpha(0), 1);
  EXPECT_THAT(Lines(),
              ElementsAre("'two': initializing unpatching transition",
                          "'two': starting unpatching transition",
                          "'two': completing unpatching transition", "'two': unpatching complete",
                          "'one': initializing unpatching transition",
                          "'one': starting unpatching transition",
                          "'one': completing unpatching transition", "'one': unpatching complete"));
}

TEST_F(RulesTest, LC8_CompletesWithTheLastThread) {
  Gate& first = Occupy([] { sleeper(0); });
  Gate& second = Occupy([] { sleeper(0); });
  Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(registry().Status().threads_left, 2u);
  first.Open();
  threads_[0]->Join();
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(registry().Status().threads_left, 1u);
  EXPECT_THAT(Lines(),
              ::testing::Not(::testing::Contains("'fix': completing patching transition")));
  second.Open();
  Settle();
  // A disabled patch is out of the list when it has completed, a replaced one with its successor.
  EnableAndWait(MakePatch("next", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(StatusOf("fix").stack_order, 0u);
  DisableAndWait("next");
  EXPECT_EQ(StatusOf("next").stack_order, 0u);
}

TEST_F(RulesTest, LC12_WhatIsDoneIsNotReversed) {
  EnableAndWait(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(ErrnoOfStatus(registry().Reverse("fix")), EINVAL);
  (void)Lines();
  DisableAndWait("fix");
  EXPECT_EQ(Lines().front(), "'fix': initializing unpatching transition") << "a new one";
  EXPECT_EQ(ErrnoOfStatus(registry().Reverse("fix")), EINVAL);
  EXPECT_EQ(alpha(0), 1);
}

class CountedModule : public LinkedModule {
 public:
  explicit CountedModule(int* live) : live_(live) { ++*live_; }
  ~CountedModule() override { --*live_; }
  uint64_t text_bytes() const override { return 1; }
  uint64_t data_bytes() const override { return 1; }

 private:
  int* const live_;
};

TEST_F(RulesTest, LC13_LC14_AModuleIsPinnedWhileItsPatchIsIn) {
  int live = 0;
  auto patch = MakePatch("fix", true, {{Sleeper(), Sleeper2()}});
  patch->module = std::make_unique<CountedModule>(&live);
  Gate& old_code = Occupy([] { sleeper(0); });
  Enable(std::move(patch));
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), EBUSY) << "in transition";
  old_code.Open();
  Settle();
  EXPECT_EQ(*registry().References("fix"), 1);
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), EBUSY) << "enabled";
  Gate& new_code = Occupy([] { sleeper(0); });
  ASSERT_TRUE(registry().Disable("fix").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(*registry().References("fix"), 1);
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), EBUSY) << "on its way out";
  new_code.Open();
  Settle();
  threads_.clear();
  EXPECT_EQ(*registry().References("fix"), 0);
  EXPECT_EQ(live, 1) << "it is there until it is removed";
  ASSERT_TRUE(registry().Remove("fix").ok());
  EXPECT_EQ(live, 0);
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), ENOENT);
}

TEST_F(RulesTest, LC15_R7_AReplacedPatchCanBeLoadedAgain) {
  EnableAndWait(MakePatch("one", true, {{Alpha(), Alpha2()}}));
  EnableAndWait(MakePatch("two", true, {{Alpha(), Alpha3()}, {Beta(), Beta2()}}));
  EXPECT_EQ(ErrnoOfStatus(registry().Reverse("two")), EINVAL) << "there is no undo";
  ASSERT_TRUE(registry().Remove("one").ok());
  EnableAndWait(MakePatch("one", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(alpha(0), 2) << "a downgrade";
  EXPECT_EQ(beta(0), 10);
  EXPECT_FALSE(StatusOf("two").enabled);
  // So can one that was disabled.
  DisableAndWait("one");
  ASSERT_TRUE(registry().Remove("one").ok());
  EnableAndWait(MakePatch("one", true, {{Alpha(), Alpha2()}}));
  EXPECT_EQ(alpha(0), 2);
}

// --- consistency ---

TEST_F(RulesTest, T1_WithinAUnitAThreadSeesOneVersion) {
  std::atomic<int> old_sum{0};
  std::atomic<int> new_sum{0};
  Gate& other = Occupy([] { stay_and_call(0); });
  const pthread_t self = pthread_self();
  call_when_stay_is_left = [&] {
    const int sum = alpha(0) + beta(0);
    (pthread_equal(pthread_self(), self) != 0 ? new_sum : old_sum) = sum;
  };
  Enable(MakePatch("fix", true,
                   {{StayAndCall(), GoAndCall()}, {Alpha(), Alpha2()}, {Beta(), Beta2()}}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  stay_and_call(0);
  EXPECT_EQ(new_sum, 22) << "this thread has switched";
  other.Open();
  threads_[0]->Join();
  EXPECT_EQ(old_sum, 11) << "another thread may be on the other side";
  Settle();
  stay_and_call(0);
  EXPECT_EQ(new_sum, 22);
}

TEST_F(RulesTest, T5_OnlyWhatAThreadWouldRunBeforeIsForbidden) {
  // Alone on the stack of versions: the original.
  Gate& original = Occupy([] { sleeper(0); });
  Enable(MakePatch("one", false, {{Sleeper(), Sleeper2()}}));
  AwaitStragglerIn("sleeper");
  ASSERT_TRUE(registry().Force("one").ok());
  Settle();
  // With an older version: that one, and the original no more, though a thread is in it.
  EnableAndWait(MakePatch("two", false, {{Sleeper(), Sleeper3()}}));
  DisableAndWait("two");
  Occupy([] { sleeper(0); });
  ASSERT_TRUE(registry().EnableAgain("two").ok());
  AwaitStragglerIn("sleeper_2");
  ASSERT_TRUE(registry().Force("two").ok());
  Settle();
  // Unpatching: the patch's own version, not the one below.
  DisableAndWait("two");
  ASSERT_TRUE(registry().EnableAgain("two").ok());
  ASSERT_TRUE(registry().Force("two").ok());
  Settle();
  Occupy([] { sleeper(0); });
  ASSERT_TRUE(registry().Disable("two").ok());
  AwaitStragglerIn("sleeper_3");
  EXPECT_EQ(registry().Status().threads_left, 1u);
  original.Open();
}

TEST_F(RulesTest, T6_AStackThatIsTooDeepIsUnreliable) {
  if (kTsan) GTEST_SKIP() << "TSan keeps 65536 frames of a thread, and writes beyond them";
  loader_.Know(Descend());
  Gate& deep = Occupy([] { EXPECT_EQ(descend(100'010), 100'010); });
  Enable(MakePatch("fix", true, {{Alpha(), Alpha2()}}));
  // No function of the patch is on the stack, and yet nobody may say so.
  const auto too_deep = [this] {
    for (const ThreadStatus& thread : registry().Threads()) {
      if (thread.straggler.reason != SwitchResult::kUnreliableStack) continue;
      EXPECT_EQ(thread.straggler.walk_end, WalkEnd::kTooDeep);
      return true;
    }
    return false;
  };
  const absl::Time deadline = absl::Now() + kSoon;
  while (!too_deep() && absl::Now() < deadline) {
    ASSERT_FALSE(registry().Wait(absl::Milliseconds(5)).ok());
  }
  EXPECT_TRUE(too_deep());
  deep.Open();
  Settle();
  EXPECT_EQ(alpha(0), 2);
}

std::atomic<int> seen_by_handler{0};

void CallAlpha(int) {
  const SignalScope scope;
  seen_by_handler = alpha(0);
}

TEST_F(RulesTest, T13_AHandlerHasTheStateOfTheThreadItInterrupts) {
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = CallAlpha;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  std::atomic<pthread_t> straggler{};
  seen_by_handler = 0;
  Occupy([&] {
    straggler = pthread_self();
    sleeper(0);
  });
  Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  pthread_kill(straggler, SIGUSR1);
  while (seen_by_handler == 0) std::this_thread::yield();
  EXPECT_EQ(seen_by_handler, 1);
  seen_by_handler = 0;
  pthread_kill(pthread_self(), SIGUSR1);
  while (seen_by_handler == 0) std::this_thread::yield();
  EXPECT_EQ(seen_by_handler, 2) << "this thread has switched";
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(RulesTest, T15_ATransitionMayLastAndHasThreeWaysOut) {
  for (const char* way : {"wait", "reverse", "force"}) {
    Gate& other = Occupy([] { sleeper(0); });
    Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}));
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(registry().Wait(kNotYet).code(), absl::StatusCode::kDeadlineExceeded) << way;
      EXPECT_EQ(registry().Status().transition, "fix");
    }
    if (way == std::string("wait")) other.Open();
    if (way == std::string("reverse")) ASSERT_TRUE(registry().Reverse("fix").ok());
    if (way == std::string("force")) ASSERT_TRUE(registry().Force("fix").ok());
    Settle();
    EXPECT_EQ(alpha(0), way == std::string("reverse") ? 1 : 2) << way;
    other.Open();
    threads_.clear();
    if (way != std::string("reverse")) DisableAndWait("fix");
    ASSERT_TRUE(registry().Remove("fix").ok());
  }
}

// --- atomic replace ---

TEST_F(RulesTest, R3_R10_UnswitchedThreadsKeepTheReplacedPatch) {
  EnableAndWait(MakePatch("old", false, {{Alpha(), Alpha2()}, {Beta(), Beta2()}}));
  std::atomic<int> old_alpha{0};
  std::atomic<int> old_beta{0};
  call_when_stay_is_left = [&] {
    old_alpha = alpha(0);
    old_beta = beta(0);
  };
  Gate& other = Occupy([] { stay_and_call(0); });
  Enable(MakePatch("new", true, {{StayAndCall(), GoAndCall()}, {Beta(), Beta3()}}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(alpha(0), 1) << "a nop: back to the original, in the same transition";
  EXPECT_EQ(beta(0), 30);
  other.Open();
  threads_[0]->Join();
  EXPECT_EQ(old_alpha, 2);
  EXPECT_EQ(old_beta, 20) << "not the original";
  Settle();
  EXPECT_EQ(alpha(0), 1);
  EXPECT_EQ(beta(0), 30);
}

TEST_F(RulesTest, R10_NoCallFindsAGapBetweenTwoPatches) {
  EnableAndWait(MakePatch("fix", true, {{Beta(), Beta2()}}));
  std::atomic<bool> stop{false};
  std::atomic<int> originals{0};
  std::atomic<int> calls{0};
  const auto call = [&] {
    while (!stop) {
      if (beta(0) == 10) ++originals;
      ++calls;
      Poll();
    }
  };
  std::vector<std::unique_ptr<ProgramThread>> callers;
  for (int i = 0; i < 2; ++i) callers.push_back(std::make_unique<ProgramThread>(call));
  for (int i = 0; i < 20; ++i) {
    const int before = calls;
    EnableAndWait(MakePatch("fix", true, {{Beta(), i % 2 == 0 ? Beta3() : Beta2()}}));
    while (calls == before) std::this_thread::yield();
  }
  stop = true;
  callers.clear();
  EXPECT_EQ(originals, 0);
}

TEST_F(RulesTest, R5_NothingPinsWhatWasReplaced) {
  EnableAndWait(MakePatch("one", true, {{Alpha(), Alpha2()}}));
  Gate& other = Occupy([] { sleeper(0); });
  Enable(MakePatch("two", true, {{Sleeper(), Sleeper2()}}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_TRUE(StatusOf("one").enabled) << "replaced at the end, not before";
  EXPECT_EQ(StatusOf("one").stack_order, 1u);
  EXPECT_EQ(*registry().References("one"), 1);
  other.Open();
  Settle();
  EXPECT_FALSE(StatusOf("one").enabled);
  EXPECT_EQ(StatusOf("one").stack_order, 0u);
  EXPECT_EQ(*registry().References("one"), 0);
  EXPECT_TRUE(registry().Remove("one").ok());
  EXPECT_EQ(registry().Status().patches.size(), 1u);
}

// --- force ---

TEST_F(RulesTest, X1_EveryThreadThatIsLeftTakesTheTarget) {
  Gate& first = Occupy([] { sleeper(0); });
  Gate& second = Occupy([] { sleeper(0); });
  Enable(MakePatch("fix", true, {{Sleeper(), Sleeper2()}, {Alpha(), Alpha2()}}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  ASSERT_TRUE(registry().Force("fix").ok());
  Settle();
  EXPECT_THAT(Lines(),
              ElementsAre("forcing remaining tasks to the patched state",
                          "'fix': completing patching transition", "'fix': patching complete"));
  EXPECT_EQ(registry().LastTransition().switched.forced, 2u);
  EXPECT_TRUE(first.waited_for() && second.waited_for()) << "whatever is on their stacks";
  EXPECT_EQ(PatchStates(), (std::map<int, int>{{-1, 3}}));
}

TEST_F(RulesTest, X4_HooksGoAndTheCodeStays) {
  int live = 0;
  auto patch = MakePatch("fix", true, {{Sleeper(), Sleeper2()}});
  patch->module = std::make_unique<CountedModule>(&live);
  EnableAndWait(std::move(patch));
  std::atomic<int> got{0};
  Gate& other = Occupy([&] { got = sleeper(0); });
  ASSERT_TRUE(registry().Disable("fix").ok());
  ASSERT_TRUE(registry().Force("fix").ok());
  Settle();
  EXPECT_FALSE(EntryOpen(Sleeper()));
  EXPECT_EQ(*host_.SlotOf(Sleeper()), Sleeper().text.begin.value + kEntryStubSize);
  EXPECT_FALSE(StatusOf("fix").enabled);
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), EBUSY);
  EXPECT_EQ(live, 1);
  other.Open();
  threads_[0]->Join();
  EXPECT_EQ(got, 2) << "it went on in the code that was kept";
  EXPECT_TRUE(registry().Remove("fix").ok());
  EXPECT_EQ(live, 0);
}

// The kernel's mark is for ever. Here it lasts until every thread has been seen off the code.
TEST_F(RulesTest, X5_TheMarkGoesWhenThePatchIsEnabledAnew) {
  EnableAndWait(MakePatch("fix", true, {{Sleeper(), Sleeper2()}}));
  Gate& other = Occupy([] { sleeper(0); });
  ASSERT_TRUE(registry().Disable("fix").ok());
  ASSERT_TRUE(registry().Force("fix").ok());
  Settle();
  EXPECT_EQ(ErrnoOfStatus(registry().EnableAgain("fix")), EBUSY);
  EXPECT_TRUE(StatusOf("fix").forced);
  other.Open();
  threads_.clear();
  ASSERT_TRUE(registry().EnableAgain("fix").ok());
  Settle();
  EXPECT_FALSE(StatusOf("fix").forced);
}

}  // namespace
}  // namespace mend::testing
