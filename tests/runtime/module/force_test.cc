// Forced transitions: what is quarantined, and when it can go (the livepatch rules 1.9).
#include <gmock/gmock.h>

#include "runtime/base/errno_status.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;

using ForceTest = ObjectTest;

TEST_F(ForceTest, X2_ForcedPatchingQuarantinesNobodyNew) {
  Occupy();
  ASSERT_TRUE(
      registry().Enable(MakeObjectPatch("fix", {{Stay(), Stay2()}}, {}, DemoCallbacks())).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  ASSERT_TRUE(registry().Force("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_THAT(Lines(), ElementsAre("forcing remaining tasks to the patched state",
                                   "'fix': completing patching transition",
                                   "demo: post_patch: vmlinux", "'fix': patching complete"));
  EXPECT_FALSE(registry().Status().patches[0].forced) << "a plain patch that is applied: nobody";
  gate_.Open();
  threads_.clear();
  DisableAndWait("fix");
  EXPECT_TRUE(registry().Remove("fix").ok());
}

TEST_F(ForceTest, X2_ForcedUnpatchingKeepsThePatchUntilAllHaveLeft) {
  EnableAndWait(MakeObjectPatch("fix", {{Stay(), Stay2()}}, {}, DemoCallbacks()));
  Occupy();
  ASSERT_TRUE(registry().Disable("fix").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  ASSERT_TRUE(registry().Force("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_THAT(Lines(), ElementsAre("forcing remaining tasks to the patched state",
                                   "'fix': completing unpatching transition",
                                   "demo: post_unpatch: vmlinux", "'fix': unpatching complete"));
  EXPECT_TRUE(registry().Status().patches[0].forced);
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), EBUSY);
  EXPECT_EQ(*registry().References("fix"), 1);
  EXPECT_EQ(ErrnoOfStatus(registry().EnableAgain("fix")), EBUSY);
  gate_.Open();
  threads_.clear();
  EXPECT_EQ(*registry().References("fix"), 0);
  EXPECT_TRUE(registry().Remove("fix").ok());
}

// Applied again while somebody is in it still, it is there twice; and once again, when it is
// applied after that.
TEST_F(ForceTest, GenerationsThatNobodyIsInMakeRoom) {
  const auto make = [this] {
    auto patch = MakeObjectPatch("fix", {{Stay(), Stay2()}}, {}, {});
    patch->content_hash = "the same";
    return patch;
  };
  EnableAndWait(make());
  Occupy();
  ASSERT_TRUE(registry().Disable("fix").ok());
  ASSERT_TRUE(registry().Force("fix").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EnableAndWait(make());
  ASSERT_EQ(registry().Status().patches.size(), 2u);
  gate_.Open();
  threads_.clear();
  DisableAndWait("fix~2");
  EnableAndWait(make());
  EXPECT_EQ(registry().Status().patches.size(), 1u);
  DisableAndWait(registry().Status().patches[0].name);
}

TEST_F(ForceTest, X2_ForcedReplaceKeepsTheReplacedPatches) {
  EnableAndWait(MakeObjectPatch("old", {{Stay(), Stay2()}}, {}, OtherCallbacks()));
  Occupy();
  ASSERT_TRUE(registry()
                  .Enable(MakeObjectPatch("new", {{Work(), Work2()}}, {}, {}, /*replace=*/true))
                  .ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(registry().Force("new").ok());
  ASSERT_TRUE(registry().Wait(kSoon).ok());
  EXPECT_TRUE(registry().Status().patches[0].forced);
  EXPECT_FALSE(registry().Status().patches[1].forced);
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("old")), EBUSY);
  gate_.Open();
  threads_.clear();
  EXPECT_TRUE(registry().Remove("old").ok());
}

}  // namespace
}  // namespace mend::testing
