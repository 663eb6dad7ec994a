// Linking source patches into guest modules: when the module is there, again when it comes again,
// and nothing left when it has gone. The core is not here: tests open the entries themselves.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jit/link/entry_stubs.h"
#include "jit/session.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kProgram[] = "int shared = 7; int answer(void) { return 41; }";
constexpr char kGuest[] =
    "extern int shared; static int hits;"
    "__attribute__((noinline)) static int step(int n) { hits += n; return hits + shared; }"
    "int run(int n) { return step(n); }";
// A new static, a new function, and a table that leads to it and stays.
constexpr char kFixed[] =
    "extern int shared; static int hits; static int added = 100;"
    "static int extra(void) { return ++added; } int (*table[1])(void) = {extra};"
    "__attribute__((noinline)) static int step(int n) { hits += n;"
    " return hits + shared + table[0]() * 1000; }"
    "int run(int n) { return step(n); }";

PatchUnit GuestUnit(const std::string& object, std::vector<PatchedFunction> functions) {
  PatchUnit unit;
  unit.module = "guest";
  unit.unit = UnitOf("part");
  unit.functions = std::move(functions);
  unit.object = object;
  return unit;
}

PatchUnit FixedUnit() {
  PatchUnit unit = GuestUnit(Compile(kFixed), {Replaces("step", Binding::kLocal)});
  unit.new_functions = {"extra"};
  unit.new_data = {"added", "table"};
  return unit;
}

class GuestPatchTest : public ::testing::Test {
 protected:
  std::unique_ptr<GuestModule> LinkGuest() {
    auto module = session_->Link("guest", {.path = "guest.so", .bytes = file_});
    EXPECT_TRUE(module.ok()) << module.status().ToString();
    return module.ok() ? *std::move(module) : nullptr;
  }
  std::unique_ptr<Patch> LoadPatch(const PatchModule& module) {
    auto patch = session_->Load(module);
    EXPECT_TRUE(patch.ok()) << patch.status().ToString();
    return patch.ok() ? *std::move(patch) : nullptr;
  }
  std::string ResolveError(Patch& patch) {
    const absl::Status resolved = session_->ResolveObject(&patch, &patch.objects.back());
    return resolved.ok() ? "resolved" : std::string(resolved.message());
  }
  void Activate(const PatchObject& object) {
    for (const PatchFunction& function : object.functions) {
      *function.old.slot = function.new_body.value;
      const EntryWrite write = {function.old.entry,
                                OpenEntry(function.old.entry, function.old.slot)};
      ASSERT_TRUE(session_->WriteEntries({write}).ok());
    }
  }
  // As the core does it when the object goes.
  void Forget(Patch& patch) {
    PatchObject& object = patch.objects.back();
    session_->ForgetObject(&patch, &object);
    std::erase_if(object.functions,
                  [](const PatchFunction& function) { return function.is_added; });
    for (PatchFunction& function : object.functions) {
      function.old.entry = {};
      function.new_body = {};
    }
    object.added_text.clear();
  }

  const std::vector<std::string> objects_ = {CompileUnit("program", kProgram, {"answer"})};
  const std::string file_ = GuestModuleFile({CompileUnit("part", kGuest, {"step", "run"})});
  std::unique_ptr<Session> session_ = Host(objects_);
};

TEST_F(GuestPatchTest, UnitsAreLinkedWheneverTheModuleComes) {
  auto patch = LoadPatch(Module({FixedUnit()}));
  ASSERT_NE(patch, nullptr);
  ASSERT_EQ(patch->objects.size(), 1u) << "nothing is the program's";
  PatchObject& object = patch->objects[0];
  EXPECT_EQ(object.name, "guest");
  ASSERT_EQ(object.functions.size(), 1u);
  EXPECT_TRUE(object.functions[0].links_late);
  EXPECT_TRUE(object.functions[0].new_body.is_null());
  EXPECT_THAT(ResolveError(*patch), HasSubstr("not loaded"));
  const SessionUsage before = session_->Usage();
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    auto module = LinkGuest();
    ASSERT_NE(module, nullptr);
    auto* run = reinterpret_cast<int (*)(int)>(Session::FindSymbol(*module, "run"));
    EXPECT_EQ(run(1), 8);
    ASSERT_EQ(ResolveError(*patch), "resolved");
    ASSERT_EQ(ResolveError(*patch), "resolved") << "once is enough";
    EXPECT_EQ(run(1), 9) << "what is linked changes nothing";
    EXPECT_EQ(object.added_text.size(), 1u);
    EXPECT_EQ(session_->Describe(object.functions[0].new_body), "step");
    Activate(object);
    // The module's own static goes on; the patch's begin anew with each module.
    EXPECT_EQ(run(1), 10 + 101 * 1000);
    EXPECT_EQ(run(1), 11 + 102 * 1000);
    Forget(*patch);
    module.reset();
    EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
    EXPECT_EQ(session_->Usage().permanent_bytes, before.permanent_bytes);
  }
}

TEST_F(GuestPatchTest, ALaterPatchFindsTheStaticsOfTheOneBefore) {
  auto module = LinkGuest();
  ASSERT_NE(module, nullptr);
  auto* run = reinterpret_cast<int (*)(int)>(Session::FindSymbol(*module, "run"));
  size_t bytes = 0;
  for (int round = 1; round <= 20; ++round) {
    auto patch = LoadPatch(Module({FixedUnit()}));
    ASSERT_NE(patch, nullptr);
    ASSERT_EQ(ResolveError(*patch), "resolved");
    Activate(patch->objects[0]);
    EXPECT_EQ(run(0), 7 + (100 + round) * 1000);
    const PatchFunction& function = patch->objects[0].functions[0];
    *function.old.slot = function.old.entry.value + kEntryStubSize;
    ASSERT_TRUE(session_->WriteEntries({{function.old.entry, kClosedEntry}}).ok());
    patch.reset();
    if (round == 2) bytes = session_->Usage().module_bytes;
  }
  EXPECT_EQ(session_->Usage().module_bytes, bytes) << "again and again takes no memory";
}

// Whoever has the address of a function that an earlier patch has added comes to the newest
// version.
TEST_F(GuestPatchTest, AddedFunctionsAreReplacedWhereTheirAddressIsKept) {
  const auto unit_that_adds = [](const std::string& value) {
    PatchUnit unit = GuestUnit(
        Compile(absl::StrCat("extern int shared; static int hits; static int (*kept)(void);"
                             "static int extra(void) { return ",
                             value,
                             "; }"
                             "__attribute__((noinline)) static int step(int n) { hits += n;"
                             " if (!kept) kept = extra; return kept() * 10 + (kept == extra); }"
                             "int run(int n) { return step(n); }")),
        {Replaces("step", Binding::kLocal)});
    unit.new_functions = {"extra"};
    unit.new_data = {"kept"};
    return unit;
  };
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    auto module = LinkGuest();
    ASSERT_NE(module, nullptr);
    auto* run = reinterpret_cast<int (*)(int)>(Session::FindSymbol(*module, "run"));
    auto first = LoadPatch(Module({unit_that_adds("5")}));
    ASSERT_EQ(ResolveError(*first), "resolved");
    EXPECT_EQ(first->objects[0].functions.size(), 1u);
    Activate(first->objects[0]);
    EXPECT_EQ(run(1), 51);
    auto second = LoadPatch(Module({unit_that_adds("6")}));
    PatchObject& object = second->objects[0];
    object.functions.emplace_back().nop = true;
    object.functions.back().old.name = "run";
    ASSERT_EQ(ResolveError(*second), "resolved");
    ASSERT_EQ(object.functions.size(), 3u);
    EXPECT_EQ(object.functions[1].old.name, "extra");
    EXPECT_TRUE(object.functions[1].is_added);
    EXPECT_TRUE(object.functions[2].nop) << "they stay at the end";
    object.functions.pop_back();
    Activate(object);
    EXPECT_EQ(run(1), 61);
    Forget(*second);
    EXPECT_EQ(object.functions.size(), 1u);
    Forget(*first);
    module.reset();
  }
}

TEST_F(GuestPatchTest, WhatThePatchAddsToTheProgramIsSeenByTheModule) {
  PatchUnit program;
  program.unit = UnitOf("program");
  program.functions = {Replaces("answer")};
  program.new_functions = {"helper"};
  program.new_data = {"level"};
  program.object = Compile(
      "int shared; int level = 5; int helper(int n) { return n + ++level; }"
      "int answer(void) { return helper(0); }");
  const PatchUnit guest =
      GuestUnit(Compile("int helper(int); extern int level, shared; static int hits;"
                        "__attribute__((noinline)) static int step(int n) { hits += n;"
                        " return helper(hits) * 100 + level * 10 + shared; }"
                        "int run(int n) { return step(n); }"),
                {Replaces("step", Binding::kLocal)});
  auto module = LinkGuest();
  ASSERT_NE(module, nullptr);
  auto patch = LoadPatch(Module({program, guest}));
  ASSERT_NE(patch, nullptr);
  ASSERT_EQ(patch->objects.size(), 2u);
  ASSERT_EQ(ResolveError(*patch), "resolved");
  Activate(patch->objects[1]);
  auto* run = reinterpret_cast<int (*)(int)>(Session::FindSymbol(*module, "run"));
  EXPECT_EQ(run(1), (1 + 6) * 100 + 60 + 7);
}

TEST_F(GuestPatchTest, WhatTheModuleHasTheAddressOfStaysInTheProgram) {
  const auto load = [this](const std::string& value) {
    PatchUnit program;
    program.unit = UnitOf("program");
    program.functions = {Replaces("answer")};
    program.new_functions = {"helper"};
    program.object = Compile("int shared; int helper(void) { return " + value +
                             "; } int answer(void) { return helper(); }");
    PatchUnit guest =
        GuestUnit(Compile("int helper(void); static int hits; int (*kept)(void);"
                          "__attribute__((noinline)) static int step(int n) { hits += n;"
                          " if (!kept) kept = helper; return kept(); }"
                          "int run(int n) { return step(n); }"),
                  {Replaces("step", Binding::kLocal)});
    guest.new_data = {"kept"};
    return LoadPatch(Module({program, guest}));
  };
  auto module = LinkGuest();
  ASSERT_NE(module, nullptr);
  auto* run = reinterpret_cast<int (*)(int)>(Session::FindSymbol(*module, "run"));
  auto first = load("5");
  ASSERT_NE(first, nullptr);
  ASSERT_EQ(ResolveError(*first), "resolved");
  Activate(first->objects[1]);
  EXPECT_EQ(run(1), 5);
  auto second = load("6");
  ASSERT_NE(second, nullptr);
  ASSERT_EQ(ResolveError(*second), "resolved");
  Activate(second->objects[0]);
  Activate(second->objects[1]);
  first.reset();
  EXPECT_EQ(run(1), 6);
}

TEST_F(GuestPatchTest, RefusalsNameTheModuleAndLeaveNothing) {
  auto module = LinkGuest();
  ASSERT_NE(module, nullptr);
  const SessionUsage before = session_->Usage();
  PatchedFunction other = Replaces("step", Binding::kLocal);
  other.base_fingerprint = "base:another";
  const std::string undefined = Compile(
      "int missing(void); static int hits; int (*keep)(void) = missing; int pad[500] = {1};"
      "__attribute__((noinline)) static int step(int n) { return missing() + ++hits + ++pad[n]; }"
      "int run(int n) { return step(n); }");
  PatchUnit lacking = GuestUnit(undefined, {Replaces("step", Binding::kLocal)});
  lacking.new_data = {"keep", "pad"};
  PatchUnit nowhere = FixedUnit();
  nowhere.unit = UnitOf("nowhere");
  struct {
    PatchUnit unit;
    std::string wanted;
  } cases[] = {
      {GuestUnit(Compile(kFixed), {other}), "module 'guest' runs another step"},
      {GuestUnit(Compile(kFixed), {Replaces("gone")}), "module 'guest' has no function gone"},
      {nowhere, "module 'guest' has no unit nowhere.c"},
      {lacking, "undefined in the program, in the module and in the patch: missing"}};
  for (const auto& [unit, wanted] : cases) {
    SCOPED_TRACE(wanted);
    auto patch = LoadPatch(Module({unit}));
    ASSERT_NE(patch, nullptr);
    EXPECT_THAT(ResolveError(*patch), HasSubstr(wanted));
    EXPECT_TRUE(patch->objects[0].functions[0].old.entry.is_null());
    EXPECT_TRUE(patch->objects[0].functions[0].new_body.is_null());
  }
  EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
  EXPECT_EQ(session_->Usage().permanent_bytes, before.permanent_bytes);
  auto patch = LoadPatch(Module({FixedUnit()}));
  ASSERT_NE(patch, nullptr);
  EXPECT_EQ(ResolveError(*patch), "resolved") << "a retry after refusals works";
}

TEST_F(GuestPatchTest, DataOfARefusedPatchKeepsTheTextItLeadsTo) {
  auto module = LinkGuest();
  ASSERT_NE(module, nullptr);
  auto* run = reinterpret_cast<int (*)(int)>(Session::FindSymbol(*module, "run"));
  PatchUnit declares = FixedUnit();
  // struct mend_livepatch with one state, which a module's sources may not have.
  declares.object = Compile(
      std::string(kFixed) +
      "struct object { const char* name; const void* funcs; void *pre, *post, *preun, *postun; };"
      "struct state { unsigned long id; unsigned version; void* data; };"
      "struct patch { const struct object* objects; struct state* states; _Bool replace; };"
      "static struct state states[] = {{7, 1, 0}, {0, 0, 0}};"
      "static const struct object objects[] = {{(const char*)~0UL, 0, 0, 0, 0, 0}};"
      "static struct patch patch = {objects, states, 0};"
      "__attribute__((used)) struct patch* const __mend_livepatch = &patch;");
  for (const char* const name : {"states", "objects", "patch", "__mend_livepatch"}) {
    declares.new_data.emplace_back(name);
  }
  const uint64_t before = session_->Usage().module_bytes;
  auto refused = LoadPatch(Module({declares}));
  ASSERT_NE(refused, nullptr);
  EXPECT_THAT(ResolveError(*refused), HasSubstr("declares states"));
  refused.reset();
  EXPECT_GT(session_->Usage().module_bytes, before);
  auto patch = LoadPatch(Module({FixedUnit()}));
  ASSERT_NE(patch, nullptr);
  ASSERT_EQ(ResolveError(*patch), "resolved");
  Activate(patch->objects[0]);
  EXPECT_EQ(run(1), 8 + 101 * 1000) << "the table leads to the refused patch's function";
}

// What the patch marks MEND_UNIT in a module: a function of the module, and one that it adds.
TEST_F(GuestPatchTest, MarkedFunctionsAreHeldWhenTheModuleIsThere) {
  PatchUnit unit = FixedUnit();
  unit.object = Compile(absl::StrCat(
      kFixed,
      "__attribute__((section(\"mend_units\"), used)) static int (*const marks[])(void) ="
      " {extra, (int (*)(void))run};"));
  auto patch = LoadPatch(Module({unit}));
  ASSERT_NE(patch, nullptr);
  EXPECT_TRUE(patch->objects[0].held.empty());
  for (int round = 0; round < 2; ++round) {
    auto module = LinkGuest();
    ASSERT_NE(module, nullptr);
    ASSERT_EQ(ResolveError(*patch), "resolved");
    const std::vector<FunctionSite>& held = patch->objects[0].held;
    ASSERT_EQ(held.size(), 2u);
    for (const FunctionSite& site : held) {
      EXPECT_EQ(site.object, "guest");
      EXPECT_EQ(session_->Describe(site.entry), site.name);
    }
    EXPECT_EQ(held[0].name, "extra");
    EXPECT_EQ(held[0].slot, nullptr);
    EXPECT_EQ(held[1].name, "run");
    EXPECT_NE(held[1].slot, nullptr);
    Forget(*patch);
    patch->objects[0].held.clear();
    module.reset();
  }
}

TEST_F(GuestPatchTest, AHeldFunctionOfAPendingModuleIsFoundLater) {
  PatchModule module = Module({FixedUnit()});
  module.hold = {"guest:run"};
  auto patch = LoadPatch(module);
  ASSERT_NE(patch, nullptr);
  ASSERT_EQ(patch->held.size(), 1u);
  EXPECT_EQ(patch->held[0].object, "guest");
  EXPECT_TRUE(patch->held[0].entry.is_null());
  module.hold = {"other:run"};
  EXPECT_FALSE(session_->Load(module).ok()) << "the patch is not for that";
}

}  // namespace
}  // namespace mend::jit
