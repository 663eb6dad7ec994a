// Replace sets: a cumulative patch takes the place of those of its own set, and leaves the others'
// functions and states alone.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/transition/core_fixture.h"
#include "tests/runtime/transition/versioned_functions.h"

namespace mend::testing {
namespace {

using ::testing::IsEmpty;

class ReplaceSetTest : public CoreTest {
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

}  // namespace
}  // namespace mend::testing
