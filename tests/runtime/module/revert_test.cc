// Going back: the patches that a patch replaced come back in its place, in one transition.
#include <gmock/gmock.h>

#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RevertTest : public ObjectTest {
 protected:
  std::vector<std::string> Enabled() {
    std::vector<std::string> names;
    for (const PatchStatus& patch : registry().Status().patches) {
      if (patch.enabled) names.push_back(patch.name);
    }
    return names;
  }
  void RevertAndWait(const std::string& patch) {
    const absl::StatusOr<std::string> reverted = registry().Revert();
    ASSERT_TRUE(reverted.ok()) << reverted.status();
    EXPECT_EQ(*reverted, patch);
    ASSERT_TRUE(registry().Wait(kSoon).ok());
  }
};

TEST_F(RevertTest, ReplacedPatchesComeBackInOneTransition) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(MakeObjectPatch("one", {{Alpha(), Alpha2()}}, {}, OtherCallbacks()));
  EnableAndWait(MakeObjectPatch("two", {}, {{"mod", "work", Work2()}}, OtherCallbacks()));
  EnableAndWait(MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, DemoCallbacks(), true));
  EXPECT_EQ(alpha(0), 3);
  EXPECT_EQ(work(0), 100);
  (void)Lines();
  RevertAndWait("new");
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(work(0), 200);
  EXPECT_THAT(Enabled(), ElementsAre("one", "two"));
  EXPECT_THAT(Lines(),
              ElementsAre("'new': initializing unpatching transition", "demo: pre_unpatch: vmlinux",
                          "'new': starting unpatching transition",
                          "'new': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "'new': unpatching complete"))
      << "the restored patches' callbacks do not run, as they did not when they were replaced";
  // And so on, back to the beginning.
  RevertAndWait("two");
  EXPECT_EQ(work(0), 100);
  RevertAndWait("one");
  EXPECT_EQ(alpha(0), 1);
  EXPECT_EQ(ErrnoOfStatus(registry().Revert().status()), ENOENT);
  EXPECT_FALSE(EntryOpen(Alpha()));
  EXPECT_FALSE(EntryOpen(Work()));
  EXPECT_EQ(host_.live_texts(), 0);
}

TEST_F(RevertTest, ReversedRevertKeepsThePatch) {
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, OtherCallbacks()));
  EnableAndWait(MakeObjectPatch("new", {{Stay(), Stay2()}}, {}, DemoCallbacks(), true));
  Occupy();
  ASSERT_TRUE(registry().Revert().ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(alpha(0), 2) << "this thread is back already";
  ASSERT_TRUE(registry().Reverse("new").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 1);
  EXPECT_THAT(Enabled(), ElementsAre("new"));
  EXPECT_EQ(registry().Status().patches[1].functions.size(), 1u) << "its nops are gone";
  EXPECT_FALSE(EntryOpen(Alpha()));
  gate_.Open();
  threads_.clear();
  RevertAndWait("new");
  EXPECT_EQ(alpha(0), 2);
}

TEST_F(RevertTest, ModuleThatComesMeanwhileGetsTheRestoredPatch) {
  EnableAndWait(MakeObjectPatch("old", {}, {{"mod", "work", Work2()}}, {}));
  EnableAndWait(MakeObjectPatch("new", {{Stay(), Stay2()}}, {}, {}, true));
  Occupy();
  ASSERT_TRUE(registry().Revert().ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200) << "this thread is back already";
  gate_.Open();
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(work(0), 200);
}

TEST_F(RevertTest, InItsOwnTransitionItReverses) {
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, {}));
  Occupy();
  ASSERT_TRUE(registry().Enable(MakeObjectPatch("new", {{Stay(), Stay2()}}, {}, {}, true)).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  RevertAndWait("new");
  EXPECT_THAT(Enabled(), ElementsAre("old"));
  EXPECT_EQ(alpha(0), 2);
}

TEST_F(RevertTest, WhatWasRemovedCannotComeBack) {
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, {}));
  EnableAndWait(MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, {}, true));
  ASSERT_TRUE(registry().Remove("old").ok());
  EXPECT_EQ(ErrnoOfStatus(registry().Revert().status()), ENOENT);
  EXPECT_EQ(alpha(0), 3);
}

// A pre_patch that refuses leaves nothing behind: the replaced patch comes back as it was, and is
// taken off later with all its callbacks.
TEST_F(RevertTest, WhatRefusedToBeEnabledAgainComesBack) {
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, DemoCallbacks()));
  EnableAndWait(MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, OtherCallbacks(), true));
  TheCallbackWorld().pre_patch_results[""] = -EBUSY;
  ASSERT_FALSE(registry().EnableAgain("old").ok());
  TheCallbackWorld().pre_patch_results.clear();
  RevertAndWait("new");
  EXPECT_EQ(alpha(0), 2);
  (void)Lines();
  DisableAndWait("old");
  EXPECT_THAT(Lines(), ::testing::AllOf(::testing::Contains("demo: pre_unpatch: vmlinux"),
                                        ::testing::Contains("demo: post_unpatch: vmlinux")));
}

// But not one that a callback has undone since: its pre_unpatch would run for what is not set up.
TEST_F(RevertTest, WhatWasTakenOffWithItsCallbacksDoesNotComeBack) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(
      MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {{"mod", "work", Work2()}}, DemoCallbacks()));
  EnableAndWait(MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, OtherCallbacks(), true));
  // The program's pre_patch has succeeded, and is undone when the module's refuses.
  TheCallbackWorld().pre_patch_results["mod"] = -EBUSY;
  ASSERT_FALSE(registry().EnableAgain("old").ok());
  TheCallbackWorld().pre_patch_results.clear();
  const absl::Status refused = registry().Revert().status();
  EXPECT_EQ(ErrnoOfStatus(refused), EINVAL);
  EXPECT_THAT(refused.message(), HasSubstr("'old', which 'new' replaced, has been taken off"));
  EXPECT_EQ(alpha(0), 3);
  // The way out.
  ASSERT_TRUE(registry().EnableAgain("old").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_EQ(alpha(0), 2);
  DisableAndWait("old");
}

TEST_F(RevertTest, PreviousStatesAreTheRestoredPatches) {
  mend_state old_state = {.id = 1, .version = 1, .data = nullptr};
  mend_state new_state = {.id = 1, .version = 2, .data = nullptr};
  auto old_patch = MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, {});
  old_patch->states = {{.id = 1, .version = 1, .record = &old_state}};
  auto new_patch = MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, DemoCallbacks(), true);
  new_patch->states = {{.id = 1, .version = 2, .record = &new_state}};
  EnableAndWait(std::move(old_patch));
  EnableAndWait(std::move(new_patch));
  std::vector<mend_state*> seen;
  for (const char* kind : {"pre_unpatch", "post_unpatch"}) {
    TheCallbackWorld().hooks[kind] = [&] { seen.push_back(registry().PreviousState(1)); };
  }
  RevertAndWait("new");
  EXPECT_THAT(seen, ElementsAre(&old_state, &old_state));
}

TEST_F(RevertTest, EachFailingStepLeavesThePatch) {
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}, {Work(), Work2()}}, {}, {}));
  EnableAndWait(MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, DemoCallbacks(), true));
  (void)Lines();
  for (const char* step :
       {"transition/add_nops", "transition/start_coordinator", "transition/allocate_text",
        "transition/write_text", "transition/open_entries"}) {
    ASSERT_TRUE(failpoint::Arm(step, 0, 1));
    EXPECT_FALSE(registry().Revert().ok()) << step;
    failpoint::DisarmAll();
    EXPECT_EQ(alpha(0), 3) << step;
    EXPECT_EQ(work(0), 100) << step;
    EXPECT_THAT(Enabled(), ElementsAre("new")) << step;
    EXPECT_EQ(registry().Status().patches[1].functions.size(), 1u) << step;
  }
  for (const std::string& line : Lines()) EXPECT_THAT(line, ::testing::Not(HasSubstr("demo:")));
  RevertAndWait("new");
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(work(0), 200);
}

}  // namespace
}  // namespace mend::testing
