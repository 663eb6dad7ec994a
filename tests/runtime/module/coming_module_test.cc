// Modules that come and go in mid-transition, and those that patches wait for, with the whole log
// (the livepatch rules 1.4, 1.7 and 1.10; the number is in the test's name).
#include <gmock/gmock.h>

#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;

using ComingModuleTest = ObjectTest;

// The ninth session.
TEST_F(ComingModuleTest, O4_ModuleThatComesAndGoesInATransition) {
  Occupy();
  Enable(Stuck());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200) << "this thread has switched";
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_EQ(work(0), 100);
  ASSERT_TRUE(registry().Disable("demo").ok());
  Settle();
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'demo'", "'demo': initializing patching transition",
                          "demo: pre_patch: vmlinux", "'demo': starting patching transition",
                          "applying patch 'demo' to loading module 'mod'",
                          "demo: pre_patch: mod COMING", "mod: init", "mod: exit",
                          "mod: destructors", "reverting patch 'demo' on unloading module 'mod'",
                          "demo: post_unpatch: mod GOING",
                          "'demo': reversing transition from patching to unpatching",
                          "'demo': starting unpatching transition",
                          "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "'demo': unpatching complete"));
}

TEST_F(ComingModuleTest, CB5_PostPatchAtTheEndForAModuleThatCameMeanwhile) {
  Occupy();
  Enable(Stuck());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  gate_.Open();
  Settle();
  EXPECT_EQ(work(0), 200);
  EXPECT_THAT(Lines(),
              ElementsAre("'demo': completing patching transition", "demo: post_patch: vmlinux",
                          "demo: post_patch: mod LIVE", "'demo': patching complete"));
  EXPECT_EQ(host_.live_texts(), 0) << "the added trampolines are freed too";
  DisableAndWait("demo");
  EXPECT_EQ(work(0), 100);
}

TEST_F(ComingModuleTest, O4_StragglerSeesTheOldVersionOfAModuleThatCame) {
  std::atomic<int> seen_by_straggler = 0;
  std::atomic<int> seen_by_other = 0;
  Gate other_gate;
  CallWhenStayIsLeft([&] { seen_by_straggler = work(0); });
  Occupy();
  ProgramThread& other = Spawn([&] {
    other_gate.Await(true);
    seen_by_other = work(0);
  });
  other_gate.AwaitWaiter();
  Enable(MakeObjectPatch("demo", {{Stay(), Alpha2()}}, {{"mod", "work", Work2()}}, {}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(LoadModule("mod").ok());
  other_gate.Open();
  other.Join();
  gate_.Open();
  threads_[0]->Join();
  Settle();
  EXPECT_EQ(seen_by_other, 200) << "it has switched";
  EXPECT_EQ(seen_by_straggler, 100) << "from within the function that holds it back";
}

TEST_F(ComingModuleTest, O4_ModuleComesDuringAnUnpatchingTransition) {
  EnableAndWait(Stuck());
  Occupy();
  ASSERT_TRUE(registry().Disable("demo").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 100) << "this thread is on the way out already";
  gate_.Open();
  Settle();
  EXPECT_THAT(Lines(),
              ElementsAre("applying patch 'demo' to loading module 'mod'",
                          "demo: pre_patch: mod COMING", "mod: init",
                          "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "demo: post_unpatch: mod LIVE", "'demo': unpatching complete"));
  EXPECT_EQ(work(0), 100);
  EXPECT_FALSE(EntryOpen(Work()));
}

TEST_F(ComingModuleTest, CB6_GoingInAnUnpatchingTransitionSkipsPreUnpatch) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(Stuck());
  Occupy();
  ASSERT_TRUE(registry().Disable("demo").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_THAT(Lines(), ElementsAre("mod: exit", "mod: destructors",
                                   "reverting patch 'demo' on unloading module 'mod'",
                                   "demo: post_unpatch: mod GOING"));
  gate_.Open();
  Settle();
  EXPECT_THAT(Lines(), ElementsAre("'demo': completing unpatching transition",
                                   "demo: post_unpatch: vmlinux", "'demo': unpatching complete"));
}

TEST_F(ComingModuleTest, O4_ReversalAfterTheModuleCame) {
  Occupy();
  Enable(Stuck());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  ASSERT_TRUE(registry().Reverse("demo").ok());
  Settle();
  EXPECT_EQ(work(0), 100);
  EXPECT_THAT(Lines(),
              ElementsAre("'demo': reversing transition from patching to unpatching",
                          "'demo': starting unpatching transition",
                          "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "demo: post_unpatch: mod LIVE", "'demo': unpatching complete"));
}

TEST_F(ComingModuleTest, O4_HookingFailureInMidTransitionLeavesTheTransition) {
  Occupy();
  Enable(Stuck());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  for (const char* step :
       {"transition/allocate_text", "transition/write_text", "transition/open_entries"}) {
    (void)Lines();
    ASSERT_TRUE(failpoint::Arm(step, 0, 1));
    EXPECT_FALSE(LoadModule("mod").ok()) << step;
    failpoint::DisarmAll();
    EXPECT_EQ(work(0), 100);
    EXPECT_EQ(Lines().back(),
              "patch 'demo' failed for module 'mod', refusing to load module 'mod'");
  }
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
  gate_.Open();
  Settle();
  EXPECT_EQ(host_.live_texts(), 0);
}

// Atomic replace reaches modules that are not loaded yet: a nop for what the old patch had there.
TEST_F(ComingModuleTest, R2_NopsForModulesThatAreNotLoaded) {
  EnableAndWait(MakeObjectPatch("old", {}, {{"mod", "work", Work3()}}, {}));
  Occupy();
  Enable(MakeObjectPatch("new", {{Stay(), Stay2()}}, {}, OtherCallbacks(), /*replace=*/true));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 100) << "switched: the nop, not the old patch's version";
  EXPECT_THAT(Lines(), ElementsAre("applying patch 'old' to loading module 'mod'",
                                   "applying patch 'new' to loading module 'mod'", "mod: init"));
  gate_.Open();
  Settle();
  EXPECT_EQ(work(0), 100);
  EXPECT_FALSE(EntryOpen(Work()));
  ASSERT_TRUE(modules().Unload("mod").ok());
}

TEST_F(ComingModuleTest, R9_PositionsZeroAndOneAreTheSameFunction) {
  EnableAndWait(MakeObjectPatch("old", {}, {{"mod", "work", Work3(), 0}}, {}));
  EnableAndWait(MakeObjectPatch("new", {}, {{"mod", "work", Work2(), 1}}, {}, /*replace=*/true));
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
}

TEST_F(ComingModuleTest, O1_R1_StackedPatchesOnAComingModule) {
  EnableAndWait(MakeObjectPatch("one", {}, {{"mod", "work", Work2()}}, DemoCallbacks()));
  EnableAndWait(MakeObjectPatch("two", {}, {{"mod", "work", Work3()}}, OtherCallbacks()));
  (void)Lines();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 300) << "the newest wins";
  EXPECT_THAT(
      Lines(),
      ElementsAre("applying patch 'one' to loading module 'mod'", "demo: pre_patch: mod COMING",
                  "demo: post_patch: mod COMING", "applying patch 'two' to loading module 'mod'",
                  "other: pre_patch: mod COMING", "other: post_patch: mod COMING", "mod: init"));
  DisableAndWait("two");
  EXPECT_EQ(work(0), 200);
}

TEST_F(ComingModuleTest, O6_FailingInitTakesThePatchesOffAgain) {
  EnableAndWait(Demo());
  (void)Lines();
  module_loader_.makings["mod"].init_result = -ENOSPC;
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), ENOSPC);
  EXPECT_THAT(Lines(), ElementsAre("applying patch 'demo' to loading module 'mod'",
                                   "demo: pre_patch: mod COMING", "demo: post_patch: mod COMING",
                                   "mod: init", "mod: destructors", "demo: pre_unpatch: mod GOING",
                                   "reverting patch 'demo' on unloading module 'mod'",
                                   "demo: post_unpatch: mod GOING"));
  EXPECT_EQ(module_loader_.live, 0);
}

// A patch that is disabled but still there forgets a module that goes, and finds it when it is put
// back after the module has come again.
TEST_F(ComingModuleTest, I8_DisabledPatchForgetsAModuleThatGoes) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(Demo());
  DisableAndWait("demo");
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_THAT(loader_.forgotten(), ElementsAre("demo/mod"));
  ASSERT_TRUE(registry().EnableAgain("demo").ok());
  Settle();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
}

}  // namespace
}  // namespace mend::testing
