// Callbacks, rule by rule (the livepatch rules 1.2, 1.4 and 1.10; the number is in the test's
// name), each with the whole log.
#include <gmock/gmock.h>

#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using CallbackTest = ObjectTest;

TEST_F(CallbackTest, CB1_CB4_EachCallbackIsOptional) {
  const ObjectCallbacks all = DemoCallbacks();
  EnableAndWait(MakeObjectPatch("a", {{Alpha(), Alpha2()}}, {}, {.pre_patch = all.pre_patch}));
  DisableAndWait("a");
  EnableAndWait(MakeObjectPatch("b", {{Alpha(), Alpha2()}}, {}, {.post_patch = all.post_patch}));
  DisableAndWait("b");
  EnableAndWait(MakeObjectPatch("c", {{Alpha(), Alpha2()}}, {}, {.pre_unpatch = all.pre_unpatch}));
  DisableAndWait("c");
  EnableAndWait(
      MakeObjectPatch("d", {{Alpha(), Alpha2()}}, {}, {.post_unpatch = all.post_unpatch}));
  DisableAndWait("d");
  std::vector<std::string> called;
  for (const std::string& line : Lines()) {
    if (line.starts_with("demo: ")) called.push_back(line);
  }
  // A missing pre_patch counts as a success (CB4): d's post_unpatch runs.
  EXPECT_THAT(called, ElementsAre("demo: pre_patch: vmlinux", "demo: post_patch: vmlinux",
                                  "demo: pre_unpatch: vmlinux", "demo: post_unpatch: vmlinux"));
}

// The document's first session.
TEST_F(CallbackTest, CB2_LoadedObjectsOnlyTargetModuleFirst) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 100);
  EnableAndWait(Demo());
  EXPECT_EQ(work(0), 200);
  DisableAndWait("demo");
  EXPECT_EQ(work(0), 100);
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_THAT(
      Lines(),
      ElementsAre("mod: init",  //
                  "enabling patch 'demo'", "'demo': initializing patching transition",
                  "demo: pre_patch: vmlinux", "demo: pre_patch: mod LIVE",
                  "'demo': starting patching transition", "'demo': completing patching transition",
                  "demo: post_patch: vmlinux", "demo: post_patch: mod LIVE",
                  "'demo': patching complete", "'demo': initializing unpatching transition",
                  "demo: pre_unpatch: vmlinux", "demo: pre_unpatch: mod LIVE",
                  "'demo': starting unpatching transition",
                  "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                  "demo: post_unpatch: mod LIVE",
                  "'demo': unpatching complete",  //
                  "mod: exit", "mod: destructors"));
}

// The second and fourth.
TEST_F(CallbackTest, CB3_O7_ComingModuleGetsItsPatchBeforeItsInit) {
  EnableAndWait(Demo());
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'demo'", "'demo': initializing patching transition",
                          "demo: pre_patch: vmlinux", "'demo': starting patching transition",
                          "'demo': completing patching transition", "demo: post_patch: vmlinux",
                          "'demo': patching complete"));
  int seen_by_constructor = 0;
  int seen_by_init = 0;
  int seen_by_exit = 0;
  module_loader_.makings["mod"].constructor = [&] { seen_by_constructor = work(0); };
  module_loader_.makings["mod"].on_init = [&] { seen_by_init = work(0); };
  module_loader_.makings["mod"].on_exit = [&] { seen_by_exit = work(0); };
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(seen_by_constructor, 200);
  EXPECT_EQ(seen_by_init, 200);
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_EQ(seen_by_exit, 200) << "O7: patched until its exit function is done";
  EXPECT_EQ(work(0), 100);
  EXPECT_THAT(Lines(), ElementsAre("applying patch 'demo' to loading module 'mod'",
                                   "demo: pre_patch: mod COMING", "demo: post_patch: mod COMING",
                                   "mod: init", "mod: exit", "mod: destructors",
                                   "demo: pre_unpatch: mod GOING",
                                   "reverting patch 'demo' on unloading module 'mod'",
                                   "demo: post_unpatch: mod GOING"));
  DisableAndWait("demo");
  EXPECT_THAT(Lines(),
              ElementsAre("'demo': initializing unpatching transition",
                          "demo: pre_unpatch: vmlinux", "'demo': starting unpatching transition",
                          "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "'demo': unpatching complete"));
}

// The sixth.
TEST_F(CallbackTest, CB10_VetoOfTheProgramRefusesThePatch) {
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  TheCallbackWorld().pre_patch_results[""] = -ENODEV;
  const auto refused = registry().Enable(Demo());
  EXPECT_EQ(ErrnoOfStatus(refused.status()), ENODEV);
  EXPECT_THAT(
      Lines(),
      ElementsAre("enabling patch 'demo'", "'demo': initializing patching transition",
                  "demo: pre_patch: vmlinux", "pre-patch callback failed for object 'program'",
                  "failed to enable patch 'demo'",
                  "'demo': canceling patching transition, going to unpatch",
                  "'demo': completing unpatching transition", "'demo': unpatching complete"));
  EXPECT_THAT(registry().Status().patches, IsEmpty());
  EXPECT_EQ(work(0), 100);
  TheCallbackWorld().pre_patch_results.clear();
  EnableAndWait(Demo());
  EXPECT_EQ(work(0), 200);
}

TEST_F(CallbackTest, LC6_SecondObjectsVetoUndoesTheFirst) {
  ASSERT_TRUE(LoadModule("mod").ok());
  ASSERT_TRUE(LoadModule("busy").ok());
  (void)Lines();
  TheCallbackWorld().pre_patch_results["busy"] = -EDOM;
  int between = 0;
  // LC4: the first object leads to its trampolines when the second's pre_patch runs, but nobody has
  // switched.
  TheCallbackWorld().hooks["pre_patch"] = [&] { between = EntryOpen(Work()) ? work(0) : -1; };
  const auto refused = registry().Enable(Demo());
  EXPECT_EQ(ErrnoOfStatus(refused.status()), EDOM);
  EXPECT_EQ(between, 100);
  EXPECT_THAT(
      Lines(),
      ElementsAre("enabling patch 'demo'", "'demo': initializing patching transition",
                  "demo: pre_patch: vmlinux", "demo: pre_patch: mod LIVE",
                  "demo: pre_patch: busy LIVE", "pre-patch callback failed for object 'busy'",
                  "failed to enable patch 'demo'",
                  "'demo': canceling patching transition, going to unpatch",
                  "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                  "demo: post_unpatch: mod LIVE", "'demo': unpatching complete"));
  EXPECT_EQ(work(0), 100);
  EXPECT_FALSE(EntryOpen(Work()));
}

TEST_F(CallbackTest, CB8_HookingFailureAfterPrePatchRunsPostUnpatch) {
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  // The program's (empty) object is hooked without any write; the module's is the first.
  ASSERT_TRUE(failpoint::Arm("transition/open_entries", 0, 1));
  EXPECT_FALSE(registry().Enable(Demo()).ok());
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'demo'", "'demo': initializing patching transition",
                          "demo: pre_patch: vmlinux", "demo: pre_patch: mod LIVE",
                          "failed to patch object 'mod'", "failed to enable patch 'demo'",
                          "'demo': canceling patching transition, going to unpatch",
                          "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "demo: post_unpatch: mod LIVE", "'demo': unpatching complete"));
  EXPECT_EQ(work(0), 100);
}

TEST_F(CallbackTest, CB8_HookingFailureAtComingRunsPostUnpatch) {
  EnableAndWait(Demo());
  (void)Lines();
  ASSERT_TRUE(failpoint::Arm("transition/open_entries", 0, 1));
  EXPECT_FALSE(LoadModule("mod").ok());
  EXPECT_THAT(
      Lines(),
      ElementsAre("applying patch 'demo' to loading module 'mod'", "demo: pre_patch: mod COMING",
                  "failed to apply patch 'demo' to module 'mod' (-5)",
                  "demo: post_unpatch: mod COMING",
                  "patch 'demo' failed for module 'mod', refusing to load module 'mod'"));
  EXPECT_THAT(modules().Status(), IsEmpty());
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
}

// The seventh.
TEST_F(CallbackTest, O2_VetoAtComingRefusesTheModule) {
  EnableAndWait(Demo());
  (void)Lines();
  TheCallbackWorld().pre_patch_results["mod"] = -ENODEV;
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), ENODEV);
  EXPECT_EQ(module_loader_.live, 0);
  DisableAndWait("demo");
  EXPECT_THAT(
      Lines(),
      ElementsAre("applying patch 'demo' to loading module 'mod'", "demo: pre_patch: mod COMING",
                  "pre-patch callback failed for object 'mod'",
                  "patch 'demo' failed for module 'mod', refusing to load module 'mod'",
                  "'demo': initializing unpatching transition", "demo: pre_unpatch: vmlinux",
                  "'demo': starting unpatching transition",
                  "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                  "'demo': unpatching complete"));
}

TEST_F(CallbackTest, CB10_RefusalTakesTheEarlierPatchesOffAgain) {
  EnableAndWait(Demo());
  auto other = MakeObjectPatch("other", {}, {{"mod", "missing", Work3()}}, OtherCallbacks());
  EnableAndWait(std::move(other));
  (void)Lines();
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EINVAL);
  EXPECT_THAT(
      Lines(),
      ElementsAre("applying patch 'demo' to loading module 'mod'", "demo: pre_patch: mod COMING",
                  "demo: post_patch: mod COMING", "symbol 'missing' not found in symbol table",
                  "failed to initialize patch 'other' for module 'mod' (-22)",
                  "patch 'other' failed for module 'mod', refusing to load module 'mod'",
                  "demo: pre_unpatch: mod COMING",
                  "reverting patch 'demo' on unloading module 'mod'",
                  "demo: post_unpatch: mod COMING"));
  EXPECT_EQ(work(0), 100);
  EXPECT_FALSE(EntryOpen(Work()));
  // The patches stay for everything else, and the module may come when the refusing one is gone.
  DisableAndWait("other");
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
}

TEST_F(CallbackTest, CB11_CallbacksOfReplacedPatchesNeverRun) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(Demo());
  (void)Lines();
  EnableAndWait(MakeObjectPatch("other", {{Alpha(), Alpha2()}}, {}, OtherCallbacks(),
                                /*replace=*/true));
  EXPECT_EQ(work(0), 100) << "the nop led back to the original";
  EXPECT_FALSE(EntryOpen(Work()));
  ASSERT_TRUE(modules().Unload("mod").ok());
  ASSERT_TRUE(registry().Remove("demo").ok());
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'other'", "'other': initializing patching transition",
                          "other: pre_patch: vmlinux", "'other': starting patching transition",
                          "'other': completing patching transition", "other: post_patch: vmlinux",
                          "'other': patching complete", "mod: exit", "mod: destructors"));
}

TEST_F(CallbackTest, CB12_CallbackThatCallsBackGetsAnErrorAndNoDeadlock) {
  std::vector<int> errors;
  TheCallbackWorld().hooks["pre_patch"] = [&] {
    errors.push_back(ErrnoOfStatus(registry().Disable("demo")));
    errors.push_back(ErrnoOfStatus(registry().EnableAgain("demo")));
    errors.push_back(ErrnoOfStatus(registry().Force("demo")));
    errors.push_back(ErrnoOfStatus(registry().Reverse("demo")));
    errors.push_back(ErrnoOfStatus(registry().Remove("demo")));
    errors.push_back(ErrnoOfStatus(registry().Wait(kNotYet)));
    errors.push_back(ErrnoOfStatus(LoadModule("mod")));
    errors.push_back(ErrnoOfStatus(modules().Unload("mod").status()));
    errors.push_back(
        ErrnoOfStatus(modules()
                          .OpenTogether({{.name = "mod", .source = {.path = "mod", .bytes = ""}}})
                          .status()));
  };
  (void)modules();
  EnableAndWait(Demo());
  EXPECT_EQ(errors, std::vector<int>(9, EDEADLK));
  EXPECT_FALSE(registry().InCallback());
}

TEST_F(CallbackTest, CallbackMayReadTheStatus) {
  std::string transition;
  size_t threads = 0;
  int error = 0;
  TheCallbackWorld().hooks["pre_patch"] = [&] {
    transition = registry().Status().transition;
    threads = registry().Threads().size();
    (void)registry().LastTransition();
    error = ErrnoOfStatus(registry().GetParameter("demo", "none").status());
    EXPECT_EQ(ErrnoOfStatus(registry().SetParameter("demo", "none", "1")), error);
  };
  EnableAndWait(Demo());
  EXPECT_EQ(transition, "demo");
  EXPECT_GT(threads, 0u);
  EXPECT_EQ(error, ENOENT);
}

// The post callbacks of a transition that a thread held up run on the coordinator's thread.
TEST_F(CallbackTest, CB12_CallbackOnTheCoordinatorCountsAsHostedCode) {
  Occupy();
  std::atomic<bool> counted = false;
  TheCallbackWorld().hooks["post_patch"] = [&] {
    const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
    counted = record != nullptr && record->activity.Get() == Activity::kRunning;
  };
  Enable(Stuck());
  gate_.Open();
  Settle();
  EXPECT_TRUE(counted);
}

// --- reversal ---

TEST_F(CallbackTest, LC11_ReversedPatchingRunsPostUnpatchOnly) {
  Occupy();
  Enable(Stuck());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(registry().Disable("demo").ok());
  Settle();
  EXPECT_THAT(Lines(),
              ElementsAre("enabling patch 'demo'", "'demo': initializing patching transition",
                          "demo: pre_patch: vmlinux", "'demo': starting patching transition",
                          "'demo': reversing transition from patching to unpatching",
                          "'demo': starting unpatching transition",
                          "'demo': completing unpatching transition", "demo: post_unpatch: vmlinux",
                          "'demo': unpatching complete"));
}

TEST_F(CallbackTest, LC11_ReversedUnpatchingRunsPostPatchAgain) {
  EnableAndWait(Stuck());
  Occupy();
  (void)Lines();
  ASSERT_TRUE(registry().Disable("demo").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(registry().EnableAgain("demo").ok());
  Settle();
  EXPECT_THAT(
      Lines(),
      ElementsAre("'demo': initializing unpatching transition", "demo: pre_unpatch: vmlinux",
                  "'demo': starting unpatching transition",
                  "'demo': reversing transition from unpatching to patching",
                  "'demo': starting patching transition", "'demo': completing patching transition",
                  "demo: post_patch: vmlinux", "'demo': patching complete"));
  (void)registry().Status();
  gate_.Open();
  DisableAndWait("demo");
  // CB7: its pre_patch has succeeded, so post_unpatch still runs.
  EXPECT_THAT(Lines(), ::testing::Contains("demo: post_unpatch: vmlinux"));
}

TEST_F(CallbackTest, LC10_AsOftenAsWantedInBothDirections) {
  Occupy();
  Enable(Stuck());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(registry().Disable("demo").ok());
    if (registry().Status().transition.empty()) break;
    ASSERT_TRUE(registry().EnableAgain("demo").ok());
  }
  // Back at once, since nobody has left: its patching has not been seen by the stuck thread.
  Settle();
  EXPECT_EQ(registry().Status().transition, "");
}

TEST_F(CallbackTest, LC11_ReversedReplaceKeepsTheOldPatches) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {{"mod", "work", Work3()}}, {}));
  Occupy();
  (void)Lines();
  Enable(MakeObjectPatch("new", {{Stay(), Stay2()}}, {}, OtherCallbacks(), /*replace=*/true));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(registry().Reverse("new").ok());
  Settle();
  EXPECT_EQ(alpha(0), 2);
  EXPECT_EQ(work(0), 300);
  const CoreStatus status = registry().Status();
  ASSERT_EQ(status.patches.size(), 2u);
  EXPECT_TRUE(status.patches[0].enabled);
  EXPECT_FALSE(status.patches[1].enabled);
  EXPECT_THAT(status.patches[1].functions, ::testing::SizeIs(1)) << "the nops are gone";
}

TEST_F(CallbackTest, LC3_OtherPatchesAreBusyInATransition) {
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, OtherCallbacks()));
  Occupy();
  Enable(Stuck());
  (void)Lines();
  EXPECT_EQ(ErrnoOfStatus(registry().Disable("old")), EBUSY);
  EXPECT_EQ(ErrnoOfStatus(registry()
                              .Enable(MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {},
                                                      OtherCallbacks(), true))
                              .status()),
            EBUSY);
  EXPECT_THAT(Lines(), IsEmpty());
  EXPECT_EQ(registry().Status().patches.size(), 2u);
  EXPECT_EQ(alpha(0), 2);
}

}  // namespace
}  // namespace mend::testing
