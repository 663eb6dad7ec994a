// States of patches: which patches go together, and what mend_get_state and mend_get_prev_state
// answer (the livepatch rules 1.11; the number is in the test's name).
#include <gmock/gmock.h>

#include "runtime/base/errno_status.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StateTest : public ObjectTest {
 protected:
  std::unique_ptr<Patch> WithStates(const std::string& name, std::vector<SystemState> states,
                                    bool replace) {
    auto patch = MakeObjectPatch(name, {{Alpha(), Alpha2()}}, {}, DemoCallbacks(), replace);
    patch->states = std::move(states);
    return patch;
  }
};

TEST_F(StateTest, SR1_OlderVersionsAndMissingStatesAreIncompatible) {
  EnableAndWait(WithStates("base", {{.id = 1, .version = 2, .record = nullptr}}, false));
  (void)Lines();
  const std::string text =
      "Livepatch patch (new) is not compatible with the already installed "
      "livepatches.";
  EXPECT_EQ(ErrnoOfStatus(
                registry()
                    .Enable(WithStates("new", {{.id = 1, .version = 1, .record = nullptr}}, false))
                    .status()),
            EINVAL);
  EXPECT_THAT(Lines(), ElementsAre(text));
  EXPECT_EQ(ErrnoOfStatus(registry().Enable(WithStates("new", {}, true)).status()), EINVAL);
  EXPECT_THAT(Lines(), ElementsAre(text)) << "before anything else is logged";
  EnableAndWait(WithStates("plain", {}, false));
  EnableAndWait(WithStates("same", {{.id = 1, .version = 2, .record = nullptr}}, false));
  EnableAndWait(WithStates(
      "newer",
      {{.id = 1, .version = 3, .record = nullptr}, {.id = 9, .version = 1, .record = nullptr}},
      true));
  EXPECT_EQ(ErrnoOfStatus(registry().EnableAgain("base")), EINVAL) << "a downgrade";
  // SR5: versions do not matter when a patch goes.
  DisableAndWait("newer");
  ASSERT_TRUE(registry().EnableAgain("base").ok());
  Settle();
}

TEST_F(StateTest, SR4_PreviousStateIsTheLastOlderPatchs) {
  mend_state first = {.id = 1, .version = 1, .data = &first};
  mend_state second = {.id = 1, .version = 2, .data = &second};
  mend_state third = {.id = 1, .version = 3, .data = &third};
  EXPECT_EQ(registry().PreviousState(1), nullptr) << "only valid in a transition";
  EXPECT_THAT(Lines(), ElementsAre(HasSubstr("mend_get_prev_state")));
  EXPECT_EQ(registry().PreviousState(1), nullptr);
  EXPECT_THAT(Lines(), IsEmpty()) << "said once";
  EnableAndWait(WithStates("one", {{.id = 1, .version = 1, .record = &first}}, false));
  EnableAndWait(WithStates("two", {{.id = 1, .version = 2, .record = &second}}, false));
  std::vector<mend_state*> seen;
  for (const char* kind : {"pre_patch", "post_patch", "pre_unpatch", "post_unpatch"}) {
    TheCallbackWorld().hooks[kind] = [&] {
      seen.push_back(registry().PreviousState(1));
      EXPECT_EQ(registry().PreviousState(2), nullptr);
    };
  }
  EnableAndWait(WithStates("three", {{.id = 1, .version = 3, .record = &third}}, true));
  // In post_patch, too, where `data` is taken over (SR6).
  EXPECT_THAT(seen, ElementsAre(&second, &second));
  seen.clear();
  // After the replacement there are none before it.
  DisableAndWait("three");
  EXPECT_THAT(seen, ElementsAre(nullptr, nullptr));
}

TEST_F(StateTest, SR4_OfOneThatGoesTheOlderOnesOnly) {
  mend_state records[3] = {{.id = 1, .version = 1, .data = nullptr},
                           {.id = 1, .version = 1, .data = nullptr},
                           {.id = 1, .version = 1, .data = nullptr}};
  EnableAndWait(WithStates("one", {{.id = 1, .version = 1, .record = &records[0]}}, false));
  EnableAndWait(WithStates("two", {{.id = 1, .version = 1, .record = &records[1]}}, false));
  EnableAndWait(WithStates("three", {{.id = 1, .version = 1, .record = &records[2]}}, false));
  std::vector<mend_state*> seen;
  for (const char* kind : {"pre_unpatch", "post_unpatch"}) {
    TheCallbackWorld().hooks[kind] = [&] { seen.push_back(registry().PreviousState(1)); };
  }
  DisableAndWait("two");
  EXPECT_THAT(seen, ElementsAre(&records[0], &records[0]));
  seen.clear();
  DisableAndWait("one");
  EXPECT_THAT(seen, ElementsAre(nullptr, nullptr));
}

TEST_F(StateTest, SR3_GetStateOfAPatch) {
  mend_state states[] = {
      {.id = 4, .version = 1, .data = nullptr}, {.id = 5, .version = 1, .data = nullptr}, {}};
  mend_patch patch = {.objects = nullptr, .states = states, .replace = false};
  EXPECT_EQ(mend_get_state(&patch, 5), &states[1]);
  EXPECT_EQ(mend_get_state(&patch, 6), nullptr);
  patch.states = nullptr;
  EXPECT_EQ(mend_get_state(&patch, 5), nullptr);
  EXPECT_EQ(mend_get_state(nullptr, 5), nullptr);
}

}  // namespace
}  // namespace mend::testing
