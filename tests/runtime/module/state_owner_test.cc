// What comes and goes with the states of patches (MEND_STATE_CALLBACKS, MEND_STATE_SHADOW): each
// way in which a state appears, vanishes or is handed over, with the whole order of calls.
#include <gmock/gmock.h>

#include <cerrno>
#include <deque>
#include <map>
#include <utility>

#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "runtime/shadow/shadow_variable.h"
#include "tests/runtime/module/module_fixture.h"
#include "tests/runtime/transition/versioned_functions.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Gate* gate = nullptr;

MEND_NATIVE(stay) {
  gate->Await(true);
  return Opaque(argument + 1);
}
MEND_NATIVE(stay_2) { return Opaque(argument + 2); }

Replacement AlphaReplaced() { return {Alpha(), Alpha2()}; }
Replacement BetaReplaced() { return {Beta(), Beta2()}; }
Replacement StayReplaced() { return {MEND_NATIVE_FUNCTION(stay), MEND_NATIVE_FUNCTION(stay_2)}; }

constexpr unsigned long kState = 7;
constexpr unsigned long kOtherState = 8;

// What has been called since the last look, with the record's version.
std::vector<std::string> called;
std::map<unsigned long, int> setup_results;

void Note(const char* what, const mend_state* state) {
  called.push_back(std::string(what) + " " + std::to_string(state->id) + " v" +
                   std::to_string(state->version));
}
int SetUpState(mend_state* state) {
  Note("setup", state);
  return setup_results[state->id];
}
void EnableState(mend_state* state) { Note("enable", state); }
void DisableState(mend_state* state) { Note("disable", state); }
void ReleaseState(mend_state* state) { Note("release", state); }
void DestroyShadow(void*, void*) { called.emplace_back("destroy"); }
int PrePatch(mend_object*) {
  called.emplace_back("pre_patch");
  return 0;
}
int Veto(mend_object*) {
  called.emplace_back("veto");
  return -ENODEV;
}
void PostPatch(mend_object*) { called.emplace_back("post_patch"); }
void PreUnpatch(mend_object*) { called.emplace_back("pre_unpatch"); }
void PostUnpatch(mend_object*) { called.emplace_back("post_unpatch"); }

constexpr StateOwner kOwner = {
    .setup = SetUpState, .enable = EnableState, .disable = DisableState, .release = ReleaseState};

class StateOwnerTest : public ModuleTest {
 protected:
  void SetUp() override {
    ModuleTest::SetUp();
    called.clear();
    setup_results.clear();
    gate = &gate_;
  }
  void TearDown() override {
    gate_.Open();
    threads_.clear();
    ModuleTest::TearDown();
  }

  struct Declared {
    unsigned long id;
    unsigned version = 1;
    StateOwner owner = kOwner;
  };
  std::unique_ptr<Patch> WithStates(const std::string& name, bool replace, Replacement function,
                                    const std::vector<Declared>& states,
                                    const ObjectCallbacks& callbacks = {}) {
    std::unique_ptr<Patch> patch = MakeObjectPatch(name, {function}, {}, callbacks, replace);
    for (const Declared& state : states) {
      records_.push_back({.id = state.id, .version = state.version, .data = nullptr});
      patch->states.push_back({.id = state.id,
                               .version = state.version,
                               .record = &records_.back(),
                               .owner = state.owner});
    }
    return patch;
  }
  std::vector<std::string> Called() { return std::exchange(called, {}); }
  mend_state* Record(size_t index) { return &records_[index]; }
  void Occupy() {
    threads_.push_back(std::make_unique<ProgramThread>([] { stay(0); }));
    gate_.AwaitWaiter();
  }
  void Await() { ASSERT_EQ(registry().Wait(absl::Seconds(20)), absl::OkStatus()); }

  Gate gate_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
  std::deque<mend_state> records_;  // in the order in which the test made them
};

constexpr ObjectCallbacks kCallbacks = {PrePatch, PostPatch, PreUnpatch, PostUnpatch};

TEST_F(StateOwnerTest, AppearsAndVanishesAroundTheObjectsCallbacks) {
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState}}, kCallbacks));
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1", "pre_patch", "post_patch", "enable 7 v1"));
  DisableAndWait("fix");
  EXPECT_THAT(Called(), ElementsAre("disable 7 v1", "pre_unpatch", "post_unpatch", "release 7 v1"));
}

TEST_F(StateOwnerTest, EachFunctionIsOptional) {
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState, 1, {.enable = EnableState}}}));
  DisableAndWait("fix");
  EXPECT_THAT(Called(), ElementsAre("enable 7 v1"));
}

TEST_F(StateOwnerTest, StaysWhileAnotherPatchHasIt) {
  EnableAndWait(WithStates("fix", false, AlphaReplaced(), {{kState, 1}}));
  (void)Called();
  EnableAndWait(WithStates("more", false, BetaReplaced(), {{kState, 2}, {kOtherState, 1}}));
  EXPECT_THAT(Called(), ElementsAre("setup 8 v1", "enable 8 v1"));
  DisableAndWait("more");
  EXPECT_THAT(Called(), ElementsAre("disable 8 v1", "release 8 v1"));
  DisableAndWait("fix");
  EXPECT_THAT(Called(), ElementsAre("disable 7 v1", "release 7 v1"));
}

TEST_F(StateOwnerTest, IsHandedOverToACumulativePatch) {
  int data = 0;
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState, 1}}));
  Record(0)->data = &data;
  (void)Called();
  EnableAndWait(WithStates("next", true, BetaReplaced(), {{kState, 2}}));
  EXPECT_THAT(Called(), IsEmpty());
  EXPECT_EQ(Record(1)->data, &data);
  DisableAndWait("next");
  EXPECT_THAT(Called(), ElementsAre("disable 7 v2", "release 7 v2"));
}

TEST_F(StateOwnerTest, DataGoesBackWithAReversedHandOver) {
  int data = 0;
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState, 1}}));
  Record(0)->data = &data;
  Occupy();
  ASSERT_TRUE(registry().Enable(WithStates("next", true, StayReplaced(), {{kState, 2}})).ok());
  EXPECT_EQ(Record(1)->data, &data);
  ASSERT_EQ(registry().Reverse("next"), absl::OkStatus());
  Await();
  EXPECT_EQ(Record(1)->data, nullptr);
  EXPECT_EQ(Record(0)->data, &data);
}

TEST_F(StateOwnerTest, VanishesWhenACumulativePatchDoesNotKnowIt) {
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState}}, kCallbacks));
  (void)Called();
  EnableAndWait(WithStates("next", true, BetaReplaced(), {{kOtherState, 3}}, kCallbacks));
  EXPECT_THAT(Called(), ElementsAre("setup 8 v3", "disable 7 v1", "pre_patch", "post_patch",
                                    "enable 8 v3", "release 7 v1"));
  // And comes again with the patch that has it.
  ASSERT_TRUE(registry().Revert().ok());
  Await();
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1", "disable 8 v3", "pre_unpatch", "post_unpatch",
                                    "enable 7 v1", "release 8 v3"));
}

TEST_F(StateOwnerTest, SR1_OneThatCannotVanishKeepsACumulativePatchOut) {
  for (const StateOwner& owner : {StateOwner{}, StateOwner{.setup = SetUpState}}) {
    EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState, 1, owner}}));
    const auto refused = registry().Enable(WithStates("next", true, BetaReplaced(), {}));
    EXPECT_EQ(ErrnoOf(refused.status()).error, EINVAL);
    DisableAndWait("fix");
    ASSERT_EQ(registry().Remove("fix"), absl::OkStatus());
  }
}

TEST_F(StateOwnerTest, ARefusedSetupReleasesThoseBeforeIt) {
  setup_results[kOtherState] = -EDOM;
  const auto refused = registry().Enable(
      WithStates("fix", true, AlphaReplaced(), {{kState}, {kOtherState}}, kCallbacks));
  EXPECT_EQ(ErrnoOf(refused.status()).error, EDOM);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("setup of state 8"));
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1", "setup 8 v1", "release 7 v1"));
  EXPECT_EQ(alpha(0), 1);
  EXPECT_THAT(registry().Status().patches, IsEmpty());
  setup_results.clear();
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState}, {kOtherState}}));
  EXPECT_EQ(alpha(0), 2);
}

TEST_F(StateOwnerTest, ARefusedSetupOfWhatARevertBringsBackKeepsThePatch) {
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState}}));
  EnableAndWait(WithStates("next", true, BetaReplaced(), {}));
  (void)Called();
  setup_results[kState] = -EDOM;
  EXPECT_EQ(ErrnoOf(registry().Revert().status()).error, EDOM);
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1"));
  EXPECT_EQ(alpha(0), 1);
  EXPECT_EQ(beta(0), 20);
  setup_results.clear();
  ASSERT_TRUE(registry().Revert().ok());
  Await();
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(beta(0), 10);
}

TEST_F(StateOwnerTest, IsReleasedWhenThePatchDoesNotComeAbout) {
  ObjectCallbacks veto = kCallbacks;
  veto.pre_patch = Veto;
  EXPECT_FALSE(registry().Enable(WithStates("fix", true, AlphaReplaced(), {{kState}}, veto)).ok());
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1", "veto", "release 7 v1"));
  // Nothing had begun when the first step failed.
  ASSERT_TRUE(failpoint::Arm("transition/allocate_text", 0, 1));
  EXPECT_FALSE(registry().Enable(WithStates("fix", true, AlphaReplaced(), {{kState}})).ok());
  EXPECT_THAT(Called(), IsEmpty());
}

TEST_F(StateOwnerTest, ReversedInBothDirections) {
  Occupy();
  ASSERT_TRUE(registry().Enable(WithStates("fix", true, StayReplaced(), {{kState}})).ok());
  ASSERT_EQ(registry().Reverse("fix"), absl::OkStatus());
  Await();
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1", "release 7 v1"));
  ASSERT_EQ(registry().EnableAgain("fix"), absl::OkStatus());
  gate_.Open();
  Await();
  EXPECT_THAT(Called(), ElementsAre("setup 7 v1", "enable 7 v1"));
}

TEST_F(StateOwnerTest, AVanishingThatIsReversedEnablesAgain) {
  std::unique_ptr<Patch> patch = WithStates("fix", true, AlphaReplaced(), {{kState}});
  // Its threads are held on both sides.
  patch->held.push_back(SiteOf(StayReplaced().old_function));
  EnableAndWait(std::move(patch));
  (void)Called();
  Occupy();
  ASSERT_EQ(registry().Disable("fix"), absl::OkStatus());
  EXPECT_THAT(Called(), ElementsAre("disable 7 v1"));
  ASSERT_EQ(registry().Reverse("fix"), absl::OkStatus());
  Await();
  EXPECT_THAT(Called(), ElementsAre("enable 7 v1"));
}

TEST_F(StateOwnerTest, ShadowVariablesGoWithIt) {
  int object = 0;
  const StateOwner owner = {.owns_shadow = true, .shadow_dtor = DestroyShadow};
  EnableAndWait(WithStates("fix", true, AlphaReplaced(), {{kState, 1, owner}}));
  ShadowTable& shadows = ShadowTable::Get();
  ASSERT_NE(shadows.Allocate(&object, kState, {.size = 8}), nullptr);
  ASSERT_NE(shadows.Allocate(&object, kOtherState, {.size = 8}), nullptr);
  EnableAndWait(WithStates("next", true, BetaReplaced(), {{kState, 2, owner}}));
  EXPECT_NE(shadows.Find(&object, kState), nullptr) << "the state was handed over";
  DisableAndWait("next");
  EXPECT_EQ(shadows.Find(&object, kState), nullptr);
  EXPECT_NE(shadows.Find(&object, kOtherState), nullptr);
  EXPECT_THAT(Called(), ElementsAre("destroy"));
  shadows.Free(&object, kOtherState, nullptr);
}

}  // namespace
}  // namespace mend::testing
