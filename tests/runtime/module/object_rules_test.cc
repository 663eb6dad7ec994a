// The livepatch rules that show in the objects of a patch: the order of checks and steps, objects
// that are not there yet, callbacks, nops and states. The numbers are in the tests' names
// (tests/conformance/rules.txt); callback_test.cc has the rules whose whole log the document shows.
#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ObjectRulesTest : public ObjectTest {
 protected:
  void Start(std::unique_ptr<Patch> patch) {
    const auto name = registry().Enable(std::move(patch));
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_FALSE(registry().Wait(kNotYet).ok());
  }
  int ErrnoOfEnable(std::unique_ptr<Patch> patch) {
    return ErrnoOfStatus(registry().Enable(std::move(patch)).status());
  }
  void OnEach(const std::string& callback, std::function<void()> hook) {
    TheCallbackWorld().hooks[callback] = std::move(hook);
  }
  // What callbacks have said since the last look.
  std::vector<std::string> Callbacks() {
    std::vector<std::string> said;
    for (const std::string& line : Lines()) {
      if (line.starts_with("demo: ") || line.starts_with("other: ")) said.push_back(line);
    }
    return said;
  }
};

// --- the model ---

TEST_F(ObjectRulesTest, M4_AFunctionGoesThroughItsStatesAndBack) {
  using State = std::pair<bool, bool>;  // patched, transition
  auto patch = MakeObjectPatch("demo", {{Stay(), Stay2()}}, {}, DemoCallbacks());
  const PatchFunction& function = patch->objects[0].functions[0];
  std::vector<State> seen;
  const auto look = [&] { seen.emplace_back(function.patched, function.transition); };
  for (const char* kind : {"pre_patch", "post_patch", "pre_unpatch", "post_unpatch"}) {
    OnEach(kind, look);
  }
  Occupy();
  look();
  Start(std::move(patch));
  look();
  gate_.Open();
  Settle();
  DisableAndWait("demo");
  EXPECT_THAT(seen, ElementsAre(State{false, false},  // before
                                State{false, true},   // marked: pre_patch
                                State{true, true},    // some threads may see it
                                State{true, false},   // post_patch: all do
                                State{true, true},    // pre_unpatch
                                State{false, false}));
}

TEST_F(ObjectRulesTest, M8_StubsAndThreadsThatSwitchThemselvesNeedNoLock) {
  std::atomic<int> in_old_code{0};
  std::atomic<int> after{0};
  std::atomic<bool> stop{false};
  CallWhenStayIsLeft([&] { in_old_code = alpha(0); });
  threads_.push_back(std::make_unique<ProgramThread>([&] {
    stay(0);
    while (after != 2 && !stop) {
      Poll();
      after = alpha(0);
    }
  }));
  gate_.AwaitWaiter();
  Start(MakeObjectPatch("demo", {{Stay(), Stay2()}, {Alpha(), Alpha2()}},
                        {{"mod", "work", Work2()}}, DemoCallbacks()));
  // The core's mutex is held here, until the thread has switched by itself.
  OnEach("pre_patch", [&] {
    gate_.Open();
    const absl::Time deadline = absl::Now() + kSoon;
    while (after != 2 && absl::Now() < deadline) std::this_thread::yield();
    EXPECT_EQ(in_old_code, 1);
    EXPECT_EQ(after, 2);
  });
  EXPECT_TRUE(LoadModule("mod").ok());
  stop = true;
  gate_.Open();
  threads_.clear();
  Settle();
  EXPECT_EQ(registry().LastTransition().switched.poll, 1u);
}

// --- life cycle ---

TEST_F(ObjectRulesTest, LC1_TheResultIsThatOfTheEnable) {
  TheCallbackWorld().pre_patch_results[""] = -EXDEV;
  auto patch = MakeObjectPatch("demo", {{Alpha(), Alpha2()}}, {}, DemoCallbacks());
  EXPECT_EQ(ErrnoOfEnable(std::move(patch)), EXDEV) << "unchanged";
  EXPECT_THAT(registry().Status().patches, IsEmpty()) << "nothing is left to be enabled later";
  TheCallbackWorld().pre_patch_results.clear();
  EnableAndWait(MakeObjectPatch("demo", {{Alpha(), Alpha2()}}, {}, DemoCallbacks()));
  EXPECT_EQ(alpha(0), 2);
}

// One patch with everything wrong, put right step by step: each error is the next in the order.
TEST_F(ObjectRulesTest, LC2_TheOrderOfChecks) {
  auto base = MakeObjectPatch("base", {{Beta(), Beta2()}}, {}, {});
  base->states = {{.id = 1, .version = 2, .record = nullptr}};
  EnableAndWait(std::move(base));
  ASSERT_TRUE(LoadModule("mod").ok());
  Occupy();
  Start(MakeObjectPatch("running", {{Stay(), Stay2()}}, {}, {}));
  (void)Lines();
  const auto make = [this](bool without_name, unsigned version, const std::string& symbol) {
    auto patch = MakeObjectPatch("new", {}, {{"mod", symbol, Work2()}}, DemoCallbacks());
    if (without_name) patch->objects[1].functions[0].old.name.clear();
    patch->states = {{.id = 1, .version = version, .record = nullptr}};
    return patch;
  };
  EXPECT_EQ(ErrnoOfEnable(make(true, 1, "missing")), EINVAL);
  EXPECT_THAT(Lines(), IsEmpty()) << "a function without a name";
  EXPECT_EQ(ErrnoOfEnable(make(false, 1, "missing")), EINVAL);
  EXPECT_THAT(Lines(), ElementsAre(HasSubstr("is not compatible"))) << "then its states";
  EXPECT_EQ(ErrnoOfEnable(make(false, 2, "missing")), EINVAL);
  EXPECT_THAT(Lines(), ElementsAre("symbol 'missing' not found in symbol table"));
  EXPECT_EQ(ErrnoOfEnable(make(false, 2, "work")), EBUSY) << "the running transition comes last";
  EXPECT_THAT(Lines(), IsEmpty());
  EXPECT_EQ(registry().Status().patches.size(), 2u);
  gate_.Open();
  Settle();
  EXPECT_EQ(ErrnoOfEnable(make(false, 2, "work")), 0);
  Settle();
  EXPECT_EQ(work(0), 200);
}

TEST_F(ObjectRulesTest, LC4_T2_ObjectsAreHookedOneByOneAndNobodySwitches) {
  ASSERT_TRUE(LoadModule("mod").ok());
  auto patch =
      MakeObjectPatch("demo", {{Alpha(), Alpha2()}},
                      {{"mod", "work", Work2()}, {"busy", "toil", Toil2()}}, DemoCallbacks());
  const Patch& demo = *patch;
  std::vector<std::pair<bool, bool>> open;  // the program's, the module's
  OnEach("pre_patch", [&] {
    open.emplace_back(EntryOpen(Alpha()), EntryOpen(Work()));
    EXPECT_FALSE(demo.enabled);
    EXPECT_EQ(alpha(0), 1);
    EXPECT_EQ(work(0), 100);
    // All functions are marked, those too whose object is not there.
    for (const PatchObject& object : demo.objects) {
      EXPECT_TRUE(object.functions[0].transition) << object.name;
    }
  });
  EnableAndWait(std::move(patch));
  EXPECT_THAT(open, ElementsAre(std::pair(false, false), std::pair(true, false)));
  EXPECT_TRUE(demo.enabled);
  EXPECT_EQ(alpha(0), 2);
  // The way out begins with everybody in the patch.
  OnEach("pre_unpatch", [&] {
    EXPECT_EQ(alpha(0), 2);
    EXPECT_EQ(work(0), 200);
    EXPECT_TRUE(demo.enabled);
    EXPECT_TRUE(demo.objects[2].functions[0].transition) << "not there";
  });
  DisableAndWait("demo");
  EXPECT_FALSE(demo.enabled);
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(ObjectRulesTest, LC9_ReplacedPatchesAndNopsAreGoneBeforePostPatch) {
  auto old_patch = MakeObjectPatch("old", {{Alpha(), Alpha2()}, {Beta(), Beta2()}}, {}, {});
  const Patch& old = *old_patch;
  EnableAndWait(std::move(old_patch));
  auto new_patch =
      MakeObjectPatch("new", {{Alpha(), Alpha3()}}, {}, DemoCallbacks(), /*replace=*/true);
  const Patch& added = *new_patch;
  bool called = false;
  OnEach("post_patch", [&] {
    called = true;
    EXPECT_FALSE(old.enabled);
    for (const PatchFunction& function : old.objects[0].functions) EXPECT_FALSE(function.patched);
    EXPECT_EQ(added.objects[0].functions.size(), 1u) << "the nop is gone";
    EXPECT_FALSE(added.objects[0].functions[0].transition);
    EXPECT_FALSE(EntryOpen(Beta()));
    EXPECT_EQ(*host_.SlotOf(Alpha()), Alpha3().text.begin.value) << "without a trampoline";
  });
  OnEach("pre_patch", [&] {
    EXPECT_TRUE(old.enabled);
    EXPECT_EQ(added.objects[0].functions.size(), 2u);
  });
  EnableAndWait(std::move(new_patch));
  EXPECT_TRUE(called);
  EXPECT_THAT(Lines(),
              ::testing::IsSupersetOf({std::string("'new': completing patching transition"),
                                       std::string("demo: post_patch: vmlinux"),
                                       std::string("'new': patching complete")}));
}

// --- objects ---

TEST_F(ObjectRulesTest, I1_AnObjectIsThereFromItsComingToItsGoing) {
  const auto enable = [&] {
    EXPECT_TRUE(registry().Enable(MakeObjectPatch("fix", {}, {{"mod", "work", Work2()}}, {})).ok());
    Settle();
  };
  int seen = 0;
  // In its init it is.
  module_loader_.makings["mod"].on_init = [&] {
    enable();
    seen = work(0);
  };
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(seen, 200);
  // A patch does not keep its target from going.
  for (const ModuleStatus& module : modules().Status()) EXPECT_EQ(module.references, 0u);
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_FALSE(registry().Status().patches[0].objects[1].patched);
  DisableAndWait("fix");
  // One whose coming failed is not: the lookup of its symbols would.
  EnableAndWait(MakeObjectPatch("veto", {}, {{"mod", "", {}}}, DemoCallbacks()));
  TheCallbackWorld().pre_patch_results["mod"] = -EPERM;
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EPERM);
  EnableAndWait(MakeObjectPatch("other", {}, {{"mod", "missing", Work2()}}, {}));
  DisableAndWait("other");
}

TEST_F(ObjectRulesTest, I2_ObjectsThatAreNotLoadedAreAcceptedWithTheirFolders) {
  EnableAndWait(MakeObjectPatch("fix", {{Alpha(), Alpha2()}}, {{"mod", "no_such_symbol", Work2()}},
                                DemoCallbacks()));
  const PatchStatus status = registry().Status().patches[0];
  ASSERT_EQ(status.objects.size(), 2u);
  EXPECT_EQ(status.objects[1].name, "mod");
  EXPECT_TRUE(status.objects[0].patched);
  EXPECT_FALSE(status.objects[1].patched);
  ASSERT_EQ(status.functions.size(), 2u);
  EXPECT_EQ(status.functions[1].name, "no_such_symbol") << "looked up when the object comes";
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EINVAL);
}

TEST_F(ObjectRulesTest, I4_SameObjectTwice) {
  auto patch = MakeObjectPatch("fix", {{Alpha(), Alpha2()}}, {{"mod", "work", Work2()}}, {});
  patch->objects[1].name = "";
  EXPECT_EQ(ErrnoOfEnable(std::move(patch)), EEXIST);
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(ObjectRulesTest, I6_SizesMustBeKnown) {
  const auto enable_without = [this](bool old_size) {
    auto patch = MakeObjectPatch("fix", {{Alpha(), Alpha2()}}, {}, DemoCallbacks());
    PatchFunction& function = patch->objects[0].functions[0];
    if (old_size) {
      function.old.size = 0;
    } else {
      function.new_text = {};
    }
    return ErrnoOfEnable(std::move(patch));
  };
  EXPECT_EQ(enable_without(true), ENOENT);
  EXPECT_THAT(Lines(), ElementsAre("kallsyms size lookup failed for 'alpha'"));
  EXPECT_EQ(enable_without(false), ENOENT);
  EXPECT_THAT(Lines(), ElementsAre("kallsyms size lookup failed for 'alpha' replacement"));
  EXPECT_EQ(alpha(0), 1);
}

TEST_F(ObjectRulesTest, I9_ANopFollowsItsObject) {
  EnableAndWait(MakeObjectPatch("old", {}, {{"mod", "work", Work3()}}, {}));
  Occupy();
  auto patch = MakeObjectPatch("new", {{Stay(), Stay2()}}, {}, {}, /*replace=*/true);
  const Patch& added = *patch;
  Start(std::move(patch));
  ASSERT_EQ(added.objects.size(), 2u) << "an object of the core's";
  const PatchFunction& nop = added.objects[1].functions[0];
  EXPECT_TRUE(nop.nop);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(nop.old.entry.is_null());
    ASSERT_TRUE(LoadModule("mod").ok());
    EXPECT_EQ(nop.old.entry, Work().text.begin);
    EXPECT_EQ(work(0), 100) << "back to the original";
    ASSERT_TRUE(modules().Unload("mod").ok());
  }
  EXPECT_TRUE(nop.old.entry.is_null());
  gate_.Open();
  Settle();
  EXPECT_EQ(added.objects.size(), 1u);
}

// --- callbacks ---

TEST_F(ObjectRulesTest, CB7_PostUnpatchRunsOnceForEachPrePatchThatSucceeded) {
  EnableAndWait(MakeObjectPatch("demo", {}, {{"mod", "work", Work2()}}, DemoCallbacks()));
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_THAT(Callbacks(),
              ElementsAre("demo: pre_unpatch: mod GOING", "demo: post_unpatch: mod GOING"));
  TheCallbackWorld().pre_patch_results["mod"] = -EPERM;
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EPERM);
  EXPECT_THAT(Callbacks(), ElementsAre("demo: pre_patch: mod COMING"))
      << "the success of the first time does not count any more";
  TheCallbackWorld().pre_patch_results.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  DisableAndWait("demo");
  EXPECT_THAT(Callbacks(),
              ElementsAre("demo: pre_unpatch: vmlinux", "demo: pre_unpatch: mod LIVE",
                          "demo: post_unpatch: vmlinux", "demo: post_unpatch: mod LIVE"));
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_THAT(Callbacks(), IsEmpty());
}

TEST_F(ObjectRulesTest, CB9_EachPhaseFollowsThePatchsListOfObjects) {
  ASSERT_TRUE(LoadModule("mod").ok());
  ASSERT_TRUE(LoadModule("busy").ok());
  EnableAndWait(MakeObjectPatch("old", {{Alpha(), Alpha2()}}, {}, {}));
  auto patch = MakeObjectPatch("demo", {}, {{"mod", "work", Work2()}, {"busy", "toil", Toil2()}},
                               DemoCallbacks(), /*replace=*/true);
  std::reverse(patch->objects.begin(), patch->objects.end());
  (void)Lines();
  EnableAndWait(std::move(patch));
  EXPECT_THAT(Callbacks(), ElementsAre("demo: pre_patch: busy LIVE", "demo: pre_patch: mod LIVE",
                                       "demo: pre_patch: vmlinux", "demo: post_patch: busy LIVE",
                                       "demo: post_patch: mod LIVE", "demo: post_patch: vmlinux"));
  DisableAndWait("demo");
  EXPECT_THAT(Callbacks(),
              ElementsAre("demo: pre_unpatch: busy LIVE", "demo: pre_unpatch: mod LIVE",
                          "demo: pre_unpatch: vmlinux", "demo: post_unpatch: busy LIVE",
                          "demo: post_unpatch: mod LIVE", "demo: post_unpatch: vmlinux"));
}

// --- coming and going ---

// Two active patches have been applied when the third, which is in transition, refuses the module.
TEST_F(ObjectRulesTest, O2_AComingThatFailsIsTakenBackFromTheEarlierPatches) {
  EnableAndWait(MakeObjectPatch("one", {}, {{"mod", "work", Work3()}}, OtherCallbacks()));
  EnableAndWait(MakeObjectPatch("two", {}, {{"mod", "work", Work2()}}, DemoCallbacks()));
  Occupy();
  auto stuck = MakeObjectPatch("stuck", {{Stay(), Stay2()}}, {{"mod", "work", Work3()}}, {});
  Start(std::move(stuck));
  (void)Lines();
  // The entries of one and two have been opened by then.
  for (const char* step : {"transition/allocate_text", "transition/write_text"}) {
    ASSERT_TRUE(failpoint::Arm(step, 0, 1));
    EXPECT_FALSE(LoadModule("mod").ok());
    failpoint::DisarmAll();
    EXPECT_THAT(
        Lines(),
        ElementsAre(
            "applying patch 'one' to loading module 'mod'", "other: pre_patch: mod COMING",
            "other: post_patch: mod COMING", "applying patch 'two' to loading module 'mod'",
            "demo: pre_patch: mod COMING", "demo: post_patch: mod COMING",
            "applying patch 'stuck' to loading module 'mod'",
            HasSubstr("failed to apply patch 'stuck' to module 'mod' ("),
            "patch 'stuck' failed for module 'mod', refusing to load module 'mod'",
            "other: pre_unpatch: mod COMING", "reverting patch 'one' on unloading module 'mod'",
            "other: post_unpatch: mod COMING", "demo: pre_unpatch: mod COMING",
            "reverting patch 'two' on unloading module 'mod'", "demo: post_unpatch: mod COMING"));
    EXPECT_EQ(work(0), 100);
    EXPECT_FALSE(EntryOpen(Work()));
    EXPECT_EQ(module_loader_.live, 0);
  }
  EXPECT_EQ(registry().Status().transition, "stuck") << "all three stay";
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 300);
  gate_.Open();
  Settle();
}

// As above; now the refusing one is the last, and the one in transition is taken off: it has no
// pre_unpatch then.
TEST_F(ObjectRulesTest, O2_ThePatchInTransitionIsTakenBackWithoutPreUnpatch) {
  EnableAndWait(
      MakeObjectPatch("demo", {{Stay(), Stay2()}}, {{"mod", "work", Work2()}}, DemoCallbacks()));
  EnableAndWait(MakeObjectPatch("veto", {}, {{"mod", "", {}}}, OtherCallbacks()));
  Occupy();
  ASSERT_TRUE(registry().Disable("demo").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  (void)Lines();
  int prepared = 0;
  OnEach("pre_patch", [&] {
    if (++prepared == 2) TheCallbackWorld().pre_patch_results["mod"] = -EPERM;
  });
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EPERM);
  EXPECT_THAT(Callbacks(),
              ElementsAre("demo: pre_patch: mod COMING", "other: pre_patch: mod COMING",
                          "demo: post_unpatch: mod COMING"));
  EXPECT_EQ(work(0), 100);
  TheCallbackWorld().pre_patch_results.clear();
  gate_.Open();
  Settle();
}

TEST_F(ObjectRulesTest, O5_AGoingObjectLeavesTheOthersAlone) {
  for (const char* name : {"mod", "busy"}) ASSERT_TRUE(LoadModule(name).ok());
  EnableAndWait(MakeObjectPatch("one", {}, {{"mod", "work", Work3()}, {"busy", "toil", Toil2()}},
                                OtherCallbacks()));
  Occupy();
  Start(Stuck("two"));
  (void)Lines();
  ASSERT_TRUE(modules().Unload("mod").ok());
  EXPECT_THAT(Lines(), ElementsAre("mod: exit", "mod: destructors", "other: pre_unpatch: mod GOING",
                                   "reverting patch 'one' on unloading module 'mod'",
                                   "other: post_unpatch: mod GOING",
                                   "reverting patch 'two' on unloading module 'mod'",
                                   "demo: post_unpatch: mod GOING"));
  EXPECT_FALSE(EntryOpen(Work()));
  EXPECT_EQ(toil(0), 8);
  EXPECT_EQ(registry().Status().transition, "two");
  EXPECT_THAT(loader_.forgotten(), ElementsAre("one/mod", "two/mod"));
  gate_.Open();
  Settle();
  EXPECT_EQ(toil(0), 8);
  // It can come again.
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(work(0), 200);
}

// --- states ---

class StateRulesTest : public ObjectRulesTest {
 protected:
  std::unique_ptr<Patch> With(const std::string& name, std::vector<SystemState> states,
                              bool replace) {
    auto patch = MakeObjectPatch(name, {{Alpha(), Alpha2()}}, {}, DemoCallbacks(), replace);
    patch->states = std::move(states);
    return patch;
  }
};

TEST_F(StateRulesTest, SR2_NewIdsAreAlwaysAllowed) {
  const SystemState one = {.id = 1, .version = 2, .record = nullptr};
  const SystemState two = {.id = 2, .version = 1, .record = nullptr};
  EnableAndWait(With("base", {one}, false));
  EnableAndWait(With("plain", {two}, false));
  const SystemState one_again = {.id = 1, .version = 2, .record = nullptr};
  const SystemState three = {.id = 3, .version = 0, .record = nullptr};
  EnableAndWait(With("touches", {one_again, three}, false));
  const SystemState older = {.id = 1, .version = 1, .record = nullptr};
  EXPECT_EQ(
      ErrnoOfEnable(With("older", {older, {.id = 4, .version = 1, .record = nullptr}}, false)),
      EINVAL)
      << "of an id that is there the version counts all the same";
}

TEST_F(StateRulesTest, SR5_VersionsDoNotMatterOnTheWayOut) {
  EnableAndWait(With("low", {{.id = 1, .version = 1, .record = nullptr}}, false));
  EnableAndWait(With("high", {{.id = 1, .version = 9, .record = nullptr}}, false));
  // What is left has an older version; so has what a reversal goes back to.
  DisableAndWait("high");
  ASSERT_TRUE(registry().EnableAgain("high").ok());
  Settle();
  DisableAndWait("low");
  DisableAndWait("high");
  EnableAndWait(With("low2", {{.id = 1, .version = 1, .record = nullptr}}, false));
  Occupy();
  auto stuck = Stuck("stuck");
  stuck->states = {{.id = 1, .version = 5, .record = nullptr}};
  Start(std::move(stuck));
  ASSERT_TRUE(registry().Reverse("stuck").ok());
  Settle();
  EXPECT_TRUE(registry().Remove("stuck").ok());
}

// The author's protocol: pre_patch allocates unless there is a previous state, post_patch takes
// over, post_unpatch frees, unless it is told of a previous state: then it was only reversed.
TEST_F(StateRulesTest, SR6_DataIsHandedOverAndFreedOnce) {
  mend_state first = {.id = 1, .version = 1, .data = nullptr};
  mend_state second = {.id = 1, .version = 2, .data = nullptr};
  mend_state* own = &first;
  int allocated = 0;
  int freed = 0;
  int value = 0;
  OnEach("pre_patch", [&] {
    if (registry().PreviousState(1) != nullptr) return;
    own->data = &value;
    ++allocated;
  });
  OnEach("post_patch", [&] {
    if (mend_state* const previous = registry().PreviousState(1); previous != nullptr) {
      own->data = previous->data;
    }
  });
  OnEach("post_unpatch", [&] {
    if (registry().PreviousState(1) != nullptr) return;
    own->data = nullptr;
    ++freed;
  });
  EnableAndWait(With("one", {{.id = 1, .version = 1, .record = &first}}, true));
  EXPECT_EQ(allocated, 1);
  own = &second;
  // Reversed: the first patch's data stays with it.
  Occupy();
  const auto second_patch = [&] {
    auto patch =
        MakeObjectPatch("two", {{Alpha(), Alpha3()}, {Stay(), Stay2()}}, {}, DemoCallbacks(), true);
    patch->states = {{.id = 1, .version = 2, .record = &second}};
    return patch;
  };
  Start(second_patch());
  ASSERT_TRUE(registry().Reverse("two").ok());
  Settle();
  EXPECT_EQ(first.data, &value);
  EXPECT_EQ(freed, 0);
  // Completed: taken over, and freed with the second.
  gate_.Open();
  EnableAndWait(second_patch());
  EXPECT_EQ(second.data, &value);
  EXPECT_EQ(allocated, 1);
  DisableAndWait("two");
  EXPECT_EQ(freed, 1);
}

}  // namespace
}  // namespace mend::testing
