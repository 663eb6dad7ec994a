// The life of guest modules: load, open, close, unload; who waits for whom; and what is left when a
// thread stays in a module's text.
#include "runtime/module/module_registry.h"

#include <gmock/gmock.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>

#include "runtime/base/errno_status.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/module/module_fixture.h"

namespace mend::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Gate* gate = nullptr;

MEND_NATIVE(chore) { return Opaque(argument + 1); }
MEND_NATIVE(chore_2) { return Opaque(argument + 2); }
MEND_NATIVE(chore_3) { return Opaque(argument + 3); }
MEND_NATIVE(linger) {
  gate->Await(true);
  return Opaque(argument + 1);
}
MEND_NATIVE(linger_2) {
  gate->Await(true);
  return Opaque(argument + 2);
}

NativeFunction Chore() { return MEND_NATIVE_FUNCTION(chore); }
NativeFunction Chore2() { return MEND_NATIVE_FUNCTION(chore_2); }
NativeFunction Chore3() { return MEND_NATIVE_FUNCTION(chore_3); }
NativeFunction Linger() { return MEND_NATIVE_FUNCTION(linger); }
NativeFunction Linger2() { return MEND_NATIVE_FUNCTION(linger_2); }

class ModuleRegistryTest : public ModuleTest {
 protected:
  void SetUp() override {
    ModuleTest::SetUp();
    gate = &gate_;
    for (const char* name : {"mod", "other"}) {
      module_loader_.makings[name] = {
          .symbols = {{"chore", Chore()}}, .constructor = {}, .on_init = {}, .on_exit = {}};
    }
  }
  void TearDown() override {
    gate_.Open();
    threads_.clear();
    ModuleTest::TearDown();
  }
  absl::StatusOr<GuestModule*> Open(const std::string& name, const std::string& path = "file.so") {
    const auto opened =
        modules().OpenTogether({{.name = name, .source = {.path = path, .bytes = ""}}});
    if (!opened.ok()) return opened.status();
    return opened->front().module;
  }
  unsigned References(const std::string& name) {
    for (const ModuleStatus& module : modules().Status()) {
      if (module.name == name) return module.references;
    }
    return 999;
  }
  void Spawn(std::function<void()> body) {
    threads_.push_back(std::make_unique<ProgramThread>(std::move(body)));
  }

  Gate gate_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

TEST_F(ModuleRegistryTest, O3_NamesAreTakenOnce) {
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_FALSE(*modules().Load("mod", {.path = "mod", .bytes = ""}, {})) << "that very module";
  EXPECT_EQ(
      ErrnoOfStatus(modules().Load("mod", {.path = "mod", .bytes = "other bytes"}, {}).status()),
      EEXIST);
  EnableAndWait(MakeObjectPatch("fix", {}, {}, {}));
  module_loader_.makings["fix"] = module_loader_.makings["mod"];
  // A patch that waits for a module is often called as that is: it must not keep it out.
  EXPECT_TRUE(LoadModule("fix").ok()) << "a patch has it";
  ASSERT_TRUE(modules().Unload("fix").ok());
  module_loader_.makings["program"] = module_loader_.makings["mod"];
  EXPECT_EQ(ErrnoOfStatus(LoadModule("program")), EINVAL) << "the program has it (O3)";
  for (const std::string& name : {std::string(""), std::string(".mod"), std::string("a b"),
                                  std::string("a,1"), std::string(56, 'm')}) {
    EXPECT_EQ(ErrnoOfStatus(LoadModule(name)), EINVAL) << name;
  }
  EXPECT_EQ(module_loader_.live, 1);
}

TEST_F(ModuleRegistryTest, ParametersAreSetBeforeInit) {
  int seen = 0;
  module_loader_.makings["mod"].on_init = [&] { seen = module_loader_.number; };
  ASSERT_TRUE(LoadModule("mod", {{"number", "-19"}}).ok());
  EXPECT_EQ(seen, -19);
  EXPECT_EQ(*modules().GetParameter("mod", "number"), "-19");
  EXPECT_EQ(ErrnoOfStatus(modules().SetParameter("mod", "number", "x")), EINVAL);
  EXPECT_EQ(ErrnoOfStatus(modules().SetParameter("none", "number", "1")), ENOENT);
  for (const ParameterValues& wrong :
       {ParameterValues{{"number", "x"}}, ParameterValues{{"none", "1"}}}) {
    EXPECT_EQ(ErrnoOfStatus(LoadModule("other", wrong)), EINVAL);
  }
  EXPECT_EQ(module_loader_.live, 1);
}

TEST_F(ModuleRegistryTest, OpenAndCloseCount) {
  const absl::StatusOr<GuestModule*> first = Open("mod");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*Open("mod"), *first);
  EXPECT_EQ(References("mod"), 2u);
  EXPECT_EQ(ErrnoOfStatus(modules().Unload("mod").status()), EBUSY) << "a module in use";
  EXPECT_EQ(ErrnoOfStatus(Open("mod", "elsewhere.so").status()), EEXIST);
  ASSERT_TRUE(modules().Close(*first).ok());
  EXPECT_EQ(module_loader_.live, 1);
  ASSERT_TRUE(modules().Close(*first).ok());
  EXPECT_EQ(module_loader_.live, 0);
  EXPECT_EQ(ErrnoOfStatus(modules().Close(*first)), ENOENT);
}

TEST_F(ModuleRegistryTest, OperatorsModuleOutlivesTheProgramsClose) {
  ASSERT_TRUE(LoadModule("mod").ok());
  const absl::StatusOr<GuestModule*> opened = Open("mod");
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(ErrnoOfStatus(modules().Unload("mod").status()), EBUSY);
  ASSERT_TRUE(modules().Close(*opened).ok());
  EXPECT_EQ(module_loader_.live, 1);
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_FALSE(*modules().Unload("mod")) << "nothing to do";
}

TEST_F(ModuleRegistryTest, HostedCodeLoadsOtherModules) {
  GuestModule* inner = nullptr;
  module_loader_.makings["mod"].constructor = [&] { inner = *Open("other"); };
  module_loader_.makings["mod"].on_exit = [&] { EXPECT_TRUE(modules().Close(inner).ok()); };
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(module_loader_.live, 2);
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(module_loader_.live, 0);
}

TEST_F(ModuleRegistryTest, ConstructorThatOpensItsOwnModuleGetsIt) {
  GuestModule* self = nullptr;
  module_loader_.makings["mod"].constructor = [&] { self = *Open("mod"); };
  const absl::StatusOr<GuestModule*> opened = Open("mod");
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(self, *opened);
  EXPECT_EQ(References("mod"), 2u);
  ASSERT_TRUE(modules().Close(self).ok());
  ASSERT_TRUE(modules().Close(self).ok());
}

TEST_F(ModuleRegistryTest, OneOfTwoOpenersWaitsForTheOther) {
  module_loader_.makings["mod"].on_init = [&] { gate_.Await(true); };
  GuestModule* first = nullptr;
  std::atomic<GuestModule*> second = nullptr;
  Spawn([&] { first = *Open("mod"); });
  gate_.AwaitWaiter();
  EXPECT_EQ(ErrnoOfStatus(modules().Unload("mod").status()), EBUSY) << "while it comes";
  Spawn([&] { second = *Open("mod"); });
  absl::SleepFor(kNotYet);
  EXPECT_EQ(second.load(), nullptr) << "not before its init has run";
  gate_.Open();
  threads_.clear();
  EXPECT_EQ(second.load(), first);
  EXPECT_EQ(References("mod"), 2u);
  ASSERT_TRUE(modules().Close(first).ok());
  ASSERT_TRUE(modules().Close(first).ok());
}

TEST_F(ModuleRegistryTest, FailedInitIsTheOpenersError) {
  module_loader_.makings["mod"].init_result = -ENODEV;
  EXPECT_EQ(ErrnoOfStatus(Open("mod").status()), ENODEV);
  EXPECT_EQ(ErrnoOfStatus(Open("nothing").status()), ENOEXEC);
  EXPECT_EQ(module_loader_.live, 0);
  EXPECT_THAT(modules().Status(), IsEmpty());
}

TEST_F(ModuleRegistryTest, TextIsKeptWhileAThreadIsInIt) {
  module_loader_.makings["mod"].symbols = {{"linger", Linger()}};
  ASSERT_TRUE(LoadModule("mod").ok());
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  // The exit function might have ended the thread, so it is asked first; this one does not.
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(module_loader_.live, 1) << "its text is kept";
  EXPECT_THAT(modules().Status(), IsEmpty());
  EXPECT_THAT(Lines(), Contains(HasSubstr("the text of module 'mod' is kept")));
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EBUSY);
  gate_.Open();
  threads_.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(module_loader_.live, 1) << "the old one is freed";
}

TEST_F(ModuleRegistryTest, UnloadInATransitionFindsWhoIsInTheText) {
  module_loader_.makings["mod"].symbols = {{"linger", Linger()}};
  ASSERT_TRUE(LoadModule("mod").ok());
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(
      registry().Enable(MakeObjectPatch("fix", {}, {{"mod", "linger", Linger2()}}, {})).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(module_loader_.live, 1);
  // Nothing is left that could hold the transition up: its only function is gone.
  EXPECT_TRUE(registry().Wait(kSoon).ok());
  gate_.Open();
  threads_.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(module_loader_.live, 1);
}

// --- functions that are linked when their module is there ---

class LateLinkTest : public ModuleRegistryTest {
 protected:
  // A patch of functions of `mod` that have no new side until it comes.
  std::unique_ptr<Patch> MakeLatePatch(const std::string& name,
                                       const std::vector<std::string>& functions) {
    std::vector<ModulePatch> wanted;
    for (const std::string& function : functions) wanted.push_back({"mod", function, Chore2()});
    std::unique_ptr<Patch> patch = MakeObjectPatch(name, {}, wanted, {});
    for (PatchFunction& function : patch->objects.back().functions) {
      function.links_late = true;
      function.new_body = {};
      function.new_text = {};
    }
    return patch;
  }
  // The patch of that name replaces `linger` by its second version, which is no symbol of `mod`.
  void LingerIsAdded(const std::string& patch) {
    PatchFunction& function = loader_.replaces_added[patch];
    function.old = SiteOf(Linger());
    function.old.object = "mod";
    function.new_body = Linger2().text.begin;
    function.new_text = Linger2().text;
    function.links_late = true;
    function.is_added = true;
    loader_.Know(Linger2());
  }
  // The patch "third" takes "second" off, which replaces `linger`, while a thread is in that.
  const PatchObject& ReplaceWhileAThreadLingers() {
    loader_.LinkLate("chore", Chore2());
    LingerIsAdded("second");
    EXPECT_TRUE(LoadModule("mod").ok());
    EnableAndWait(MakeLatePatch("second", {"chore"}));
    Spawn([] { linger(0); });
    gate_.AwaitWaiter();
    auto made = MakeLatePatch("third", {"chore"});
    made->replace = true;
    const PatchObject& object = made->objects.back();
    Enable(std::move(made));
    return object;
  }
};

TEST_F(LateLinkTest, APendingPatchIsLinkedEachTimeItsModuleComes) {
  auto made = MakeLatePatch("fix", {"chore"});
  const Patch* const patch = made.get();
  const PatchFunction& function = patch->objects.back().functions.front();
  EnableAndWait(std::move(made));
  EXPECT_TRUE(function.new_body.is_null()) << "nothing to link it with";
  EXPECT_EQ(chore(0), 1);
  for (const NativeFunction& version : {Chore2(), Chore3()}) {
    loader_.LinkLate("chore", version);
    ASSERT_TRUE(LoadModule("mod").ok());
    EXPECT_EQ(function.new_text.begin, version.text.begin);
    EXPECT_EQ(chore(0), version.text.begin == Chore2().text.begin ? 2 : 3);
    EXPECT_TRUE(*modules().Unload("mod"));
    EXPECT_TRUE(function.new_body.is_null());
    EXPECT_TRUE(function.new_text.empty());
    EXPECT_EQ(chore(0), 1);
  }
}

TEST_F(LateLinkTest, WhatIsNotLinkedRefusesTheModuleThatComes) {
  EnableAndWait(MakeLatePatch("fix", {"chore"}));
  loader_.LinkLate("chore", {.name = "none", .text = {}});
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), ENOENT);
  EXPECT_EQ(module_loader_.live, 0);
  EXPECT_THAT(Lines(), Contains("failed to initialize patch 'fix' for module 'mod' (-2)"));
  loader_.LinkLate("chore", Chore2());
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(chore(0), 2);
}

TEST_F(LateLinkTest, TextLinkedForAModuleIsLookedForWhenItGoes) {
  module_loader_.makings["mod"].symbols = {{"chore", Chore()}};
  loader_.LinkLate("chore", Linger2());
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(MakeLatePatch("fix", {"chore"}));
  Spawn([] { chore(0); });
  gate_.AwaitWaiter();
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(module_loader_.live, 1) << "a thread is in the patch's version, which returns into it";
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EBUSY);
  gate_.Open();
  threads_.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(module_loader_.live, 1) << "the old one is freed";
}

TEST_F(LateLinkTest, AddedTextIsLookedForWhenTheModuleGoesAndWhenThePatchIsRemoved) {
  loader_.LinkLate("chore", Chore2(), {Linger().text});
  ASSERT_TRUE(LoadModule("mod").ok());
  EnableAndWait(MakeLatePatch("fix", {"chore"}));
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  DisableAndWait("fix");
  EXPECT_EQ(ErrnoOfStatus(registry().Remove("fix")), EBUSY);
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(module_loader_.live, 1);
  // The loader has taken it over: it goes with the module.
  EXPECT_TRUE(registry().Remove("fix").ok());
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EBUSY);
  gate_.Open();
  threads_.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
}

// A patch that marks a function of a module MEND_UNIT: also one that it does not replace is on no
// stack when a thread switches, as long as the module is there.
TEST_F(LateLinkTest, WhatThePatchMarksInAModuleIsHeldWhileThatIsThere) {
  module_loader_.makings["mod"].symbols = {{"chore", Chore()}, {"linger", Linger()}};
  loader_.LinkLate("chore", Chore2());
  loader_.late_units["mod"] = {"linger"};
  ASSERT_TRUE(LoadModule("mod").ok());
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  auto made = MakeLatePatch("fix", {"chore"});
  const auto held_up = registry().Examine(made.get());
  ASSERT_TRUE(held_up.ok()) << held_up.status();
  ASSERT_EQ(held_up->size(), 1u);
  EXPECT_EQ((*held_up)[0].straggler_function, "linger");
  const PatchObject& object = made->objects.back();
  Enable(std::move(made));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_EQ(object.held.size(), 1u);
  gate_.Open();
  Settle();
  EXPECT_EQ(chore(0), 2);
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_THAT(object.held, IsEmpty());
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(object.held.size(), 1u);
  EXPECT_EQ(chore(0), 2);
}

TEST_F(LateLinkTest, AddedFunctionsThatAPatchReplacesGoWithTheModule) {
  gate_.Open();
  loader_.LinkLate("chore", Chore2());
  LingerIsAdded("second");
  ASSERT_TRUE(LoadModule("mod").ok());
  auto made = MakeLatePatch("second", {"chore"});
  const PatchObject& object = made->objects.back();
  EnableAndWait(std::move(made));
  EXPECT_EQ(object.functions.size(), 2u);
  EXPECT_EQ(linger(0), 2);
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(object.functions.size(), 1u);
  EXPECT_FALSE(EntryOpen(Linger()));
  // Nothing has been added to the new one.
  loader_.replaces_added.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(object.functions.size(), 1u);
  EXPECT_EQ(chore(0), 2);
  EXPECT_EQ(linger(0), 1);
}

TEST_F(LateLinkTest, APatchWithoutTheAddedFunctionLeadsBackToTheOneThatWasAdded) {
  const PatchObject& object = ReplaceWhileAThreadLingers();
  EXPECT_FALSE(registry().Wait(kNotYet).ok()) << "a thread is in what it takes off";
  EXPECT_EQ(object.functions.size(), 2u) << "with a nop";
  gate_.Open();
  threads_.clear();
  Settle();
  EXPECT_EQ(object.functions.size(), 1u);
  EXPECT_EQ(linger(0), 1);
  EXPECT_EQ(chore(0), 2);
}

TEST_F(LateLinkTest, AModuleThatGoesInATransitionTakesAddedFunctionsAndTheirNopsAlong) {
  const PatchObject& object = ReplaceWhileAThreadLingers();
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  EXPECT_TRUE(*modules().Unload("mod"));
  EXPECT_EQ(object.functions.size(), 1u);
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EBUSY) << "a thread is in the added function's text";
  Settle();
  gate_.Open();
  threads_.clear();
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(linger(0), 1);
  EXPECT_EQ(chore(0), 2);
}

TEST_F(LateLinkTest, AddedFunctionsOfAModuleThatComesInATransitionPrecedeTheNops) {
  loader_.LinkLate("chore", Chore2());
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  EnableAndWait(MakeObjectPatch("first", {}, {{"mod", "other", Chore3()}}, {}));
  auto made = MakeLatePatch("second", {"chore"});
  made->replace = true;
  made->held.push_back(SiteOf(Linger()));
  const PatchObject& object = made->objects.back();
  LingerIsAdded("second");
  Enable(std::move(made));
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  module_loader_.makings["mod"].symbols = {{"chore", Chore()}, {"other", Linger2()}};
  ASSERT_TRUE(LoadModule("mod").ok());
  ASSERT_EQ(object.functions.size(), 3u);
  EXPECT_TRUE(object.functions[1].is_added);
  EXPECT_TRUE(object.functions[1].transition);
  EXPECT_TRUE(object.functions[2].nop);
  gate_.Open();
  threads_.clear();
  Settle();
  EXPECT_EQ(object.functions.size(), 2u) << "the nop is gone";
  EXPECT_EQ(linger(0), 2);
  DisableAndWait("second");
  EXPECT_EQ(linger(0), 1);
}

// --- replace sets ---

TEST_F(ModuleRegistryTest, FunctionsOfAModuleThatIsNotLoadedBelongToOneSetToo) {
  auto first = MakeObjectPatch("one", {}, {{"mod", "chore", Chore2()}}, {});
  first->replace_set = "a";
  EnableAndWait(std::move(first));
  // By name: position 0 and 1 are the same.
  auto same = MakeObjectPatch("two", {}, {{"mod", "chore", Chore3(), 1}}, {});
  same->replace_set = "b";
  EXPECT_EQ(ErrnoOfStatus(registry().Enable(std::move(same)).status()), EINVAL);
  // By what they turn out to be: two names of one function.
  module_loader_.makings["mod"].symbols = {{"chore", Chore()}, {"alias", Chore()}};
  auto alias = MakeObjectPatch("three", {}, {{"mod", "alias", Chore3()}}, {});
  alias->replace_set = "b";
  EnableAndWait(std::move(alias));
  (void)Lines();
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EINVAL);
  EXPECT_THAT(Lines(), Contains("failed to initialize patch 'three' for module 'mod' (-22)"));
  EXPECT_EQ(module_loader_.live, 0);
  EXPECT_EQ(chore(0), 1);
  DisableAndWait("three");
  ASSERT_TRUE(LoadModule("mod").ok());
  EXPECT_EQ(chore(0), 2);
}

TEST_F(ModuleRegistryTest, ForkedChildCanLoadAndUnload) {
  ASSERT_TRUE(LoadModule("mod").ok());
  modules().PrepareFork();
  registry().PrepareFork();
  ThreadRegistry::Get().PrepareFork();
  events_.PrepareFork();
  const pid_t child = fork();
  events_.AfterFork();
  if (child == 0) {
    ThreadRegistry::Get().ChildAfterFork();
    registry().ChildAfterFork();
    modules().ChildAfterFork();
    int code = 0;
    if (!LoadModule("other").ok()) code = 1;
    if (!modules().Unload("mod").ok()) code = 2;
    if (module_loader_.live != 1) code = 3;
    _exit(code);
  }
  ThreadRegistry::Get().ParentAfterFork();
  registry().ParentAfterFork();
  modules().ParentAfterFork();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(module_loader_.live, 1);
}

// The handler of a thread that waits forks: the child still wakes those that wait.
TEST_F(ModuleRegistryTest, ForkedChildOfAWaiterWakesItsWaiters) {
  static std::function<void()> handler;
  static std::atomic<bool> goes_on;
  std::atomic<bool> begun = false;
  goes_on = false;
  const pthread_t waiter = pthread_self();
  module_loader_.makings["mod"].constructor = [&] {
    begun = true;
    usleep(100000);  // the other one waits by then
    pthread_kill(waiter, SIGUSR1);
    while (!goes_on) usleep(1000);
  };
  pid_t child = -1;
  handler = [&] {
    modules().PrepareFork();
    registry().PrepareFork();
    ThreadRegistry::Get().PrepareFork();
    events_.PrepareFork();
    child = fork();
    events_.AfterFork();
    if (child == 0) {
      ThreadRegistry::Get().ChildAfterFork();
      registry().ChildAfterFork();
      modules().ChildAfterFork();
      return;
    }
    ThreadRegistry::Get().ParentAfterFork();
    registry().ParentAfterFork();
    modules().ParentAfterFork();
    goes_on = true;
  };
  struct sigaction action = {}, before;
  action.sa_handler = [](int) { handler(); };
  sigaction(SIGUSR1, &action, &before);
  Spawn([&] { (void)Open("mod"); });
  while (!begun) usleep(1000);
  const absl::StatusOr<GuestModule*> opened = Open("mod");
  if (child == 0) {
    alarm(10);
    begun = false;
    module_loader_.makings["other"].constructor = [&] {
      begun = true;
      usleep(200000);
    };
    ProgramThread opener([&] { (void)Open("other"); });
    while (!begun) usleep(1000);
    _exit(Open("other").ok() ? 0 : 1);
  }
  sigaction(SIGUSR1, &before, nullptr);
  threads_.clear();
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(modules().Close(*opened).ok());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// --- a look without a change ---

TEST_F(ModuleRegistryTest, ExamineNamesWhoWouldHoldThePatchUp) {
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  auto clean = MakeObjectPatch("clean", {{Chore(), Chore2()}}, {}, DemoCallbacks());
  EXPECT_THAT(*registry().Examine(clean.get()), IsEmpty());
  auto held = MakeObjectPatch("held", {{Linger(), Linger2()}}, {}, DemoCallbacks());
  const auto threads = registry().Examine(held.get());
  ASSERT_TRUE(threads.ok()) << threads.status();
  ASSERT_EQ(threads->size(), 1u);
  EXPECT_EQ((*threads)[0].straggler_function, "linger");
  EXPECT_EQ((*threads)[0].straggler.reason, SwitchResult::kOnStack);
  EXPECT_GT((*threads)[0].straggler.since_ns, 0);
  // Nothing was touched, and no callback has run.
  EXPECT_THAT(Lines(), IsEmpty());
  EXPECT_THAT(registry().Status().patches, IsEmpty());
  EXPECT_FALSE(EntryOpen(Linger()));
  EXPECT_EQ(chore(0), 1);
  gate_.Open();
  threads_.clear();
  EXPECT_THAT(*registry().Examine(held.get()), IsEmpty());
}

TEST_F(ModuleRegistryTest, ExamineRefusesWhatEnableWouldRefuse) {
  ASSERT_TRUE(LoadModule("mod").ok());
  auto wrong = MakeObjectPatch("wrong", {}, {{"mod", "nothing", Chore2()}}, {});
  EXPECT_EQ(ErrnoOfStatus(registry().Examine(wrong.get()).status()), EINVAL);
  Spawn([] { linger(0); });
  gate_.AwaitWaiter();
  ASSERT_TRUE(registry().Enable(MakeObjectPatch("fix", {{Linger(), Linger2()}}, {}, {})).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok());
  auto good = MakeObjectPatch("good", {{Chore(), Chore2()}}, {}, {});
  EXPECT_EQ(ErrnoOfStatus(registry().Examine(good.get()).status()), EBUSY);
}

}  // namespace
}  // namespace mend::testing
