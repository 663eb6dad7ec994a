// Callbacks and objects that come and go, rule by rule (the livepatch rules 1.2, 1.4, 1.7, 1.10;
// the number is in the test's name), each with the whole log.
#include <gmock/gmock.h>

#include <thread>

#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/module/module_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Gate* gate = nullptr;

MEND_NATIVE(alpha) { return Opaque(argument + 1); }
MEND_NATIVE(alpha_2) { return Opaque(argument + 2); }
MEND_NATIVE(alpha_3) { return Opaque(argument + 3); }
MEND_NATIVE(stay) {
  gate->Await(true);
  return Opaque(argument + 1);
}
MEND_NATIVE(stay_2) {
  gate->Await(true);
  return Opaque(argument + 2);
}
std::function<void()> call_when_stay_is_left;
MEND_NATIVE(stay_and_call) {
  gate->Await(true);
  call_when_stay_is_left();
  return Opaque(argument);
}
// The module "mod".
MEND_NATIVE(work) { return Opaque(argument + 100); }
MEND_NATIVE(work_2) { return Opaque(argument + 200); }
MEND_NATIVE(work_3) { return Opaque(argument + 300); }
MEND_NATIVE(twin) { return Opaque(argument + 50); }
// The module "busy".
MEND_NATIVE(toil) {
  gate->Await(true);
  return Opaque(argument + 7);
}
MEND_NATIVE(toil_2) { return Opaque(argument + 8); }

NativeFunction Alpha() { return MEND_NATIVE_FUNCTION(alpha); }
NativeFunction Alpha2() { return MEND_NATIVE_FUNCTION(alpha_2); }
NativeFunction Alpha3() { return MEND_NATIVE_FUNCTION(alpha_3); }
NativeFunction Stay() { return MEND_NATIVE_FUNCTION(stay); }
NativeFunction Stay2() { return MEND_NATIVE_FUNCTION(stay_2); }
NativeFunction StayAndCall() { return MEND_NATIVE_FUNCTION(stay_and_call); }
NativeFunction Work() { return MEND_NATIVE_FUNCTION(work); }
NativeFunction Work2() { return MEND_NATIVE_FUNCTION(work_2); }
NativeFunction Work3() { return MEND_NATIVE_FUNCTION(work_3); }
NativeFunction Twin() { return MEND_NATIVE_FUNCTION(twin); }
NativeFunction Toil() { return MEND_NATIVE_FUNCTION(toil); }
NativeFunction Toil2() { return MEND_NATIVE_FUNCTION(toil_2); }

class ObjectTest : public ModuleTest {
 protected:
  void SetUp() override {
    ModuleTest::SetUp();
    gate = &gate_;
    module_loader_.makings["mod"] = {.symbols = {{"work", Work()}},
                                     .constructor = nullptr,
                                     .on_init = nullptr,
                                     .on_exit = nullptr};
    module_loader_.makings["busy"] = {.symbols = {{"toil", Toil()}},
                                      .constructor = nullptr,
                                      .on_init = nullptr,
                                      .on_exit = nullptr};
  }
  void TearDown() override {
    gate_.Open();
    threads_.clear();
    ModuleTest::TearDown();
  }

  // As in the document's sessions: callbacks for the program, "mod" and "busy", and one function.
  std::unique_ptr<Patch> Demo(const std::string& name = "demo") {
    return MakeObjectPatch(name, {}, {{"mod", "work", Work2()}, {"busy", "toil", Toil2()}},
                           DemoCallbacks());
  }
  // A patch that does not finish: a thread is in the function that it replaces.
  std::unique_ptr<Patch> Stuck(const std::string& name = "demo") {
    return MakeObjectPatch(name, {{Stay(), Stay2()}}, {{"mod", "work", Work2()}}, DemoCallbacks());
  }
  void Occupy() {
    threads_.push_back(std::make_unique<ProgramThread>([] { stay(0); }));
    gate_.AwaitWaiter();
  }

  Gate gate_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

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
    errors.push_back(ErrnoOfStatus(modules().Open("mod", {.path = "mod", .bytes = ""}).status()));
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

// --- coming and going in mid-transition ---

// The ninth session.
TEST_F(CallbackTest, O4_ModuleThatComesAndGoesInATransition) {
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

TEST_F(CallbackTest, CB5_PostPatchAtTheEndForAModuleThatCameMeanwhile) {
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

TEST_F(CallbackTest, O4_StragglerSeesTheOldVersionOfAModuleThatCame) {
  std::atomic<int> seen_by_straggler = 0;
  std::atomic<int> seen_by_other = 0;
  Gate other_gate;
  call_when_stay_is_left = [&] { seen_by_straggler = work(0); };
  threads_.push_back(std::make_unique<ProgramThread>([] { stay_and_call(0); }));
  gate_.AwaitWaiter();
  threads_.push_back(std::make_unique<ProgramThread>([&] {
    other_gate.Await(true);
    seen_by_other = work(0);
  }));
  other_gate.AwaitWaiter();
  Enable(MakeObjectPatch("demo", {{StayAndCall(), Alpha2()}}, {{"mod", "work", Work2()}}, {}));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  ASSERT_TRUE(LoadModule("mod").ok());
  other_gate.Open();
  threads_[1]->Join();
  gate_.Open();
  threads_[0]->Join();
  Settle();
  EXPECT_EQ(seen_by_other, 200) << "it has switched";
  EXPECT_EQ(seen_by_straggler, 100) << "from within the function that holds it back";
}

TEST_F(CallbackTest, O4_ModuleComesDuringAnUnpatchingTransition) {
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

TEST_F(CallbackTest, CB6_GoingInAnUnpatchingTransitionSkipsPreUnpatch) {
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

TEST_F(CallbackTest, O4_ReversalAfterTheModuleCame) {
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

TEST_F(CallbackTest, O4_HookingFailureInMidTransitionLeavesTheTransition) {
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
TEST_F(CallbackTest, R2_NopsForModulesThatAreNotLoaded) {
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

TEST_F(CallbackTest, R9_PositionsZeroAndOneAreTheSameFunction) {
  EnableAndWait(MakeObjectPatch("old", {}, {{"mod", "work", Work3(), 0}}, {}));
  EnableAndWait(MakeObjectPatch("new", {}, {{"mod", "work", Work2(), 1}}, {}, /*replace=*/true));
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
}

TEST_F(CallbackTest, O1_R1_StackedPatchesOnAComingModule) {
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

TEST_F(CallbackTest, O6_FailingInitTakesThePatchesOffAgain) {
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
TEST_F(CallbackTest, I8_DisabledPatchForgetsAModuleThatGoes) {
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

// --- symbols ---

using SymbolTest = ObjectTest;

TEST_F(SymbolTest, I5_PositionsAndTheirErrors) {
  module_loader_.makings["mod"].symbols = {{"work", Work()}, {"work", Twin()}};
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  const auto error_of = [&](unsigned sympos, const std::string& name) {
    return ErrnoOfStatus(
        registry()
            .Enable(MakeObjectPatch("bad", {}, {{"mod", name, Work2(), sympos}}, DemoCallbacks()))
            .status());
  };
  EXPECT_EQ(error_of(0, "work"), EINVAL);
  EXPECT_EQ(error_of(3, "work"), EINVAL);
  EXPECT_EQ(error_of(1, "nothing"), EINVAL);
  EXPECT_THAT(Lines(), ElementsAre("unresolvable ambiguity for symbol 'work' in object 'mod'",
                                   "symbol position 3 for symbol 'work' in object 'mod' not found",
                                   "symbol 'nothing' not found in symbol table"))
      << "and nothing of an enabling";
  EXPECT_THAT(registry().Status().patches, IsEmpty());
  EnableAndWait(MakeObjectPatch("good", {}, {{"mod", "work", Work2(), 2}}, {}));
  EXPECT_EQ(work(0), 100);
  EXPECT_EQ(twin(0), 200);
}

TEST_F(SymbolTest, I4_SameFunctionTwice) {
  for (const unsigned other : {0u, 1u}) {
    auto twice = MakeObjectPatch(
        "twice", {}, {{"mod", "work", Work2(), 1}, {"mod", "work", Work3(), other}}, {});
    EXPECT_EQ(ErrnoOfStatus(registry().Enable(std::move(twice)).status()), EEXIST);
  }
}

TEST_F(SymbolTest, I3_Names) {
  EXPECT_EQ(ErrnoOfStatus(registry()
                              .Enable(MakeObjectPatch(
                                  "long", {}, {{"mod", std::string(512, 'f'), Work2()}}, {}))
                              .status()),
            EINVAL);
  EXPECT_EQ(ErrnoOfStatus(
                registry()
                    .Enable(MakeObjectPatch("long", {}, {{std::string(56, 'm'), "f", Work2()}}, {}))
                    .status()),
            EINVAL);
  auto none = MakeObjectPatch("none", {}, {{"mod", "work", Work2()}}, {});
  none->objects[1].functions[0].new_body = {};
  EXPECT_EQ(ErrnoOfStatus(registry().Enable(std::move(none)).status()), EINVAL);
}

// Two names of one address are found out when the object is there.
TEST_F(SymbolTest, AliasesAreRefusedAtComing) {
  module_loader_.makings["mod"].symbols = {{"work", Work()}, {"alias", Work()}};
  EnableAndWait(
      MakeObjectPatch("demo", {}, {{"mod", "work", Work2()}, {"mod", "alias", Work3()}}, {}));
  (void)Lines();
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EINVAL);
  EXPECT_THAT(Lines(),
              ElementsAre("failed to initialize patch 'demo' for module 'mod' (-22)",
                          "patch 'demo' failed for module 'mod', refusing to load module 'mod'"));
}

TEST_F(SymbolTest, HeldFunctionOfAModuleIsFoundWhenItComes) {
  auto patch = MakeObjectPatch("demo", {{Alpha(), Alpha2()}}, {}, {});
  FunctionSite held;
  held.object = "busy";
  held.name = "toil";
  patch->held.push_back(held);
  EnableAndWait(std::move(patch));
  ASSERT_TRUE(LoadModule("busy").ok());
  threads_.push_back(std::make_unique<ProgramThread>([] { toil(0); }));
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry().Disable("demo").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok()) << "the held function is on a stack";
  gate_.Open();
  Settle();
}

// MEND_UNIT functions of modules are in no patch's list.
TEST_F(SymbolTest, UnitsOfModulesAreHeldByEveryPatch) {
  loader_.units["busy"] = {"toil"};
  ASSERT_TRUE(LoadModule("busy").ok());
  threads_.push_back(std::make_unique<ProgramThread>([] { toil(0); }));
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry().Enable(MakeObjectPatch("demo", {{Alpha(), Alpha2()}}, {}, {})).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok()) << "the unit is on a stack";
  gate_.Open();
  Settle();
  ASSERT_TRUE(modules().Unload("busy").ok());
}

// --- states ---

class StateTest : public ObjectTest {
 protected:
  std::unique_ptr<Patch> WithStates(const std::string& name, std::vector<SystemState> states,
                                    bool replace) {
    auto patch = MakeObjectPatch(name, {{Alpha(), Alpha2()}}, {}, DemoCallbacks(), replace);
    patch->states = std::move(states);
    return patch;
  }
  static void SetUpTestSuite() {}
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
