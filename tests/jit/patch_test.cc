// Linking patch modules into a running program. The core is not here: a test that wants a patch to
// take effect stores the new bodies into the slots and opens the entries itself.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jit/link/scratch_memory.h"
#include "jit/session.h"
#include "runtime/base/failpoint.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string LoadError(Session& session, const PatchModule& module) {
  auto patch = session.Load(module);
  return patch.ok() ? "loaded" : std::string(patch.status().message());
}

constexpr char kCounter[] =
    "static int hits; static int limit = 3;"
    "__attribute__((noinline)) static int step(int n) { hits += n; return hits; }"
    "int run(int n) { return step(n); } int peek(void) { return hits + limit; }";
constexpr char kCounterFixed[] =
    "static int hits; static int limit = 3;"
    "__attribute__((noinline)) static int step(int n) { hits += 100 * n; return hits; }"
    "int run(int n) { return step(n); } int peek(void) { return hits + limit; }";

std::string CounterUnit() { return CompileUnit("counter", kCounter, {"step", "run", "peek"}); }

TEST(PatchLinkTest, NewVersionUsesTheRunningProgramsStatics) {
  const std::vector<std::string> objects = {CounterUnit()};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  auto* run = Find<int(int)>(*session, "run");
  EXPECT_EQ(run(1), 1);
  auto patch = session->Load(
      Module({Unit("counter", Compile(kCounterFixed), {Replaces("step", Binding::kLocal)})}));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  ASSERT_EQ((*patch)->objects[0].functions.size(), 1u);
  EXPECT_EQ(run(1), 2) << "a loaded patch changes nothing";
  EXPECT_FALSE(HoldsScratchMemory()) << "a load gives its memory back";
  Activate(*session, **patch);
  EXPECT_EQ(run(1), 102);
  EXPECT_EQ(Find<int()>(*session, "peek")(), 105);
  const PatchFunction& function = (*patch)->objects[0].functions[0];
  EXPECT_EQ(session->Describe(function.new_body), "step");
  Deactivate(*session, **patch);
  EXPECT_EQ(run(1), 103);
}

TEST(PatchLinkTest, AddressOfReplacedFunctionStaysAndRecursionPassesTheSlot) {
  const std::string old_text =
      "int depth(int n); int (*address(void))(int) { return depth; }"
      "__attribute__((noinline)) int depth(int n) { return n == 0 ? 1 : 1 + depth(n - 1) * 1; }";
  const std::string new_text =
      "int depth(int n); int (*address(void))(int) { return depth; }"
      "int (*volatile self)(int);"
      "__attribute__((noinline)) int depth(int n) { self = depth; return n == 0 ? 10 : 1 + self(n "
      "- 1); }";
  const std::vector<std::string> objects = {
      CompileUnit("depth", old_text + "int (*volatile self)(int);", {"depth", "address"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  auto patch = session->Load(Module({Unit("depth", Compile(new_text), {Replaces("depth")})}));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  Activate(*session, **patch);
  auto* depth = Find<int(int)>(*session, "depth");
  EXPECT_EQ(depth(3), 13);
  EXPECT_EQ(*Find<int (*)(int)>(*session, "self"), depth);
  EXPECT_EQ(Find<int (*())(int)>(*session, "address")(), depth);
}

TEST(PatchLinkTest, NewFunctionsAndDataAreSharedByThePatchsUnits) {
  const std::vector<std::string> objects = {CompileUnit("a", "int f(void) { return 1; }", {"f"}),
                                            CompileUnit("b", "int g(void) { return 2; }", {"g"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  PatchUnit a = Unit("a",
                     Compile("int added = 40; int help(int n) { return n + ++added; }"
                             "int f(void) { return help(0); }"),
                     {Replaces("f")});
  a.new_functions = {"help"};
  a.new_data = {"added"};
  PatchUnit b = Unit("b",
                     Compile("extern int added; int help(int);"
                             "int g(void) { return help(100) + added; }"),
                     {Replaces("g")});
  auto patch = session->Load(Module({a, b}));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  Activate(*session, **patch);
  EXPECT_EQ(Find<int()>(*session, "f")(), 41);
  EXPECT_EQ(Find<int()>(*session, "g")(), 142 + 42);
}

TEST(PatchLinkTest, SwitchTablesStringsAndLibraryCallsOfTheNewVersionWork) {
  const std::vector<std::string> objects = {
      CompileUnit("s", "const char *name(int n) { return \"old\"; }", {"name"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  const std::string text =
      "#include <stdio.h>\n#include <string.h>\n static char buffer[64];"
      "int noise; const char *name(int n) { switch (n) {"
      "  case 0: noise += 3; return \"zero\"; case 1: noise *= 5; return \"one\";"
      "  case 2: noise -= 7; snprintf(buffer, sizeof(buffer), \"two %d\", n); return buffer;"
      "  case 3: noise ^= 9; return \"three\"; case 4: noise /= 3; return \"four\";"
      "  case 5: noise |= 8; return \"five\"; } return strchr(\"x,other\", ',') + 1; }";
  PatchUnit unit = Unit("s", Compile(text), {Replaces("name")});
  unit.new_data = {"buffer", "noise"};
  auto patch = session->Load(Module({unit}));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  Activate(*session, **patch);
  auto* name = Find<const char*(int)>(*session, "name");
  EXPECT_STREQ(name(0), "zero");
  EXPECT_STREQ(name(2), "two 2");
  EXPECT_STREQ(name(5), "five");
  EXPECT_STREQ(name(9), "other");
}

// A static array may be a mergeable constant: it then shares its section with the string literals,
// which stand elsewhere in the new version.
TEST(PatchLinkTest, NamedConstantsAmongLiteralsDoNotMisleadTheNewVersion) {
  const std::string head =
      "#include <string.h>\n"
      "char out[96]; static const char mark[] = \"abc\"; static const long pair[2] = {7, 8};"
      "__attribute__((noinline)) void take(const char* text) { out[80] = text[0]; }";
  const std::string old_text =
      head +
      "void say(int n) { take(\"first\"); out[0] = mark[n]; out[81] = (char)pair[n];"
      " memcpy(out + 1, \" has the older words\", 21); }";
  const std::string new_text = head +
                               "void say(int n) { take(\"another before it\"); out[0] = mark[n];"
                               " struct { long a, b; } two = {5, 6}; memcpy(out + 40, &two, 16);"
                               " out[81] = (char)pair[n]; take(\"first\");"
                               " memcpy(out + 1, \" has the newer words, longer\", 29); }";
  const std::vector<std::string> objects = {CompileUnit("say", old_text, {"say", "take"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  const char* out = Find<char>(*session, "out");
  Find<void(int)>(*session, "say")(1);
  EXPECT_STREQ(out, "b has the older words");
  auto patch = session->Load(Module({Unit("say", Compile(new_text), {Replaces("say")})}));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  Activate(*session, **patch);
  Find<void(int)>(*session, "say")(1);
  EXPECT_STREQ(out, "b has the newer words, longer");
  EXPECT_EQ(out[81], 8);
  long two[2];
  memcpy(two, out + 40, sizeof two);
  EXPECT_EQ(two[0], 5);
  EXPECT_EQ(two[1], 6);
  Deactivate(*session, **patch);
}

TEST(PatchLinkTest, ApplyingTheSamePatchAgainAndAgainTakesNoMemory) {
  const std::vector<std::string> objects = {CounterUnit()};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  PatchUnit unit = Unit("counter",
                        Compile("#include <stdio.h>\n static int hits; static int times;"
                                "__attribute__((noinline)) static int step(int n) {"
                                " char b[64]; snprintf(b, 64, \"a literal %d\", n);"
                                " hits += b[0]; return ++times; }"
                                "int run(int n) { return step(n); }"),
                        {Replaces("step", Binding::kLocal)});
  unit.new_data = {"times"};
  const PatchModule module = Module({unit});
  SessionUsage after_first;
  for (int i = 1; i <= 300; ++i) {
    auto patch = session->Load(module);
    ASSERT_TRUE(patch.ok()) << patch.status().ToString();
    Activate(*session, **patch);
    // New data stays: it counts on.
    ASSERT_EQ(Find<int(int)>(*session, "run")(1), i);
    Deactivate(*session, **patch);
    patch->reset();
    if (i == 1) after_first = session->Usage();
  }
  EXPECT_EQ(session->Usage().permanent_bytes, after_first.permanent_bytes);
  EXPECT_EQ(session->Usage().module_bytes, after_first.module_bytes);
}

#ifdef MEND_FAILPOINTS
// A load makes this fail at its first, second, third... step until there is none left that does.
// Each time the program, the patch that is active and the memory in use are as before, and a retry
// succeeds.
class PatchLoadFailureTest : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { failpoint::DisarmAll(); }
};

TEST_P(PatchLoadFailureTest, EveryStepLeavesEverythingAsItWas) {
  const std::vector<std::string> objects = {CounterUnit()};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  auto* run = Find<int(int)>(*session, "run");
  const auto unit = [](const char* step) {
    PatchUnit made = Unit(
        "counter",
        Compile(absl::StrCat("#include <stdio.h>\n static int hits; int times; const char text[] ="
                             " \"text\"; __attribute__((noinline)) static int step(int n) {"
                             " printf(\"%s\", text + 4); times++; return n * ",
                             step,
                             "; }"
                             "int run(int n) { return step(n); }")),
        {Replaces("step", Binding::kLocal)});
    made.new_data = {"times", "text"};
    return made;
  };
  auto earlier = session->Load(Module({unit("10")}));
  ASSERT_TRUE(earlier.ok()) << earlier.status().ToString();
  Activate(*session, **earlier);
  const PatchModule module = Module({unit("100")});
  SessionUsage before = session->Usage();
  int failures = 0;
  for (;; ++failures) {
    ASSERT_LT(failures, 100);
    ASSERT_TRUE(failpoint::Arm(GetParam(), failures, 1));
    auto patch = session->Load(module);
    failpoint::DisarmAll();
    if (patch.ok()) break;
    EXPECT_THAT(patch.status().message(), HasSubstr("failpoint"));
    EXPECT_EQ(run(3), 30) << "the earlier patch is active";
    // Data areas may have grown once, by what a link leaves to the next.
    if (failures == 0) before.permanent_bytes = session->Usage().permanent_bytes;
    EXPECT_EQ(session->Usage().permanent_bytes, before.permanent_bytes) << failures;
    EXPECT_EQ(session->Usage().module_bytes, before.module_bytes) << failures;
  }
  EXPECT_GE(failures, 1);
  auto patch = session->Load(module);
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  Activate(*session, **patch);
  EXPECT_EQ(run(3), 300);
  Deactivate(*session, **patch);
  EXPECT_EQ(run(1), 1);
}

INSTANTIATE_TEST_SUITE_P(Steps, PatchLoadFailureTest,
                         testing::Values("code_memory/protect", "code_memory/allocate"));
#endif

TEST(PatchLinkTest, DataThatStaysKeepsTheTextItLeadsTo) {
  const std::vector<std::string> objects = {
      CompileUnit("t", "int (*get(void))(void) { return 0; }", {"get"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  PatchUnit unit =
      Unit("t",
           Compile("static int answer(void) { return 42; } int (*table[2])(void) = {answer};"
                   "int (*get(void))(void) { return table[0]; }"),
           {Replaces("get")});
  unit.new_functions = {"answer"};
  unit.new_data = {"table"};
  int (*answer)() = nullptr;
  size_t bytes = 0;
  for (int i = 0; i < 50; ++i) {
    auto patch = session->Load(Module({unit}));
    ASSERT_TRUE(patch.ok()) << patch.status().ToString();
    Activate(*session, **patch);
    answer = Find<int (*())()>(*session, "get")();
    Deactivate(*session, **patch);
    patch->reset();
    if (i == 1) bytes = session->Usage().module_bytes + session->Usage().permanent_bytes;
  }
  EXPECT_EQ(answer(), 42);
  EXPECT_EQ(session->Usage().module_bytes + session->Usage().permanent_bytes, bytes);
}

TEST(PatchLinkTest, AFunctionWhoseAddressIsTakenKeepsItsText) {
  const std::vector<std::string> objects = {
      CompileUnit("t", "int (*get(void))(void) { return 0; }", {"get"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  const auto load = [&](const char* text) {
    PatchUnit unit = Unit("t", Compile(text), {Replaces("get")});
    unit.new_functions = {"answer"};
    return session->Load(Module({unit}));
  };
  const uint64_t before = session->Usage().module_bytes;
  auto called = load(
      "__attribute__((noinline)) static int answer(void) { return 41; }"
      "int (*get(void))(void) { answer(); return 0; }");
  ASSERT_TRUE(called.ok()) << called.status().ToString();
  called->reset();
  EXPECT_EQ(session->Usage().module_bytes, before) << "nobody has its address";
  auto patch =
      load("static int answer(void) { return 42; } int (*get(void))(void) { return answer; }");
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  Activate(*session, **patch);
  int (*answer)() = Find<int (*())()>(*session, "get")();
  Deactivate(*session, **patch);
  patch->reset();
  ASSERT_GT(session->Usage().module_bytes, before);
  EXPECT_EQ(answer(), 42);
}

TEST(PatchLinkTest, AFunctionOfAnEarlierPatchIsReplacedWhereItsAddressIsKept) {
  const std::vector<std::string> objects = {
      CompileUnit("t", "int (*get(void))(void) { return 0; }", {"get"}),
      CompileUnit("u", "int use(void) { return 0; }", {"use"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  const auto load = [&](const std::string& answer, const std::string& linkage) {
    PatchUnit t = Unit("t",
                       Compile(linkage + " int answer(void) { return " + answer +
                               "; } int (*get(void))(void) { return answer; }"),
                       {Replaces("get")});
    t.new_functions = {"answer"};
    if (linkage == "static") return session->Load(Module({t}));
    PatchUnit u = Unit("u", Compile("int answer(void); int use(void) { return answer(); }"),
                       {Replaces("use")});
    return session->Load(Module({t, u}));
  };
  auto first = load("1", "static");
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ((*first)->objects[0].functions.size(), 1u);
  Activate(*session, **first);
  int (*answer)() = Find<int (*())()>(*session, "get")();
  EXPECT_EQ(answer(), 1);
  Deactivate(*session, **first);
  auto second = load("2", "");
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  ASSERT_EQ((*second)->objects[0].functions.size(), 3u);
  EXPECT_EQ(answer(), 1) << "a loaded patch changes nothing";
  Activate(*session, **second);
  EXPECT_EQ(answer(), 2);
  EXPECT_EQ(Find<int()>(*session, "use")(), 2);
  EXPECT_EQ(Find<int (*())()>(*session, "get")(), answer) << "its address is one";
  Deactivate(*session, **second);
  first->reset();
  second->reset();
  EXPECT_EQ(answer(), 1);
}

TEST(PatchLinkTest, AVariableOfAnEarlierPatchIsFoundAgainWithItsTypeAndGuard) {
  const std::vector<std::string> objects = {
      CompileUnit("t", "int next(void) { return 0; }", {"next"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  // As C++ initialises what a function has when it is first reached.
  const auto next = [&](const std::string& type, const std::string& layout) {
    PatchUnit unit = Unit("t",
                          Compile("static " + type +
                                  " _ZZ4nextvE1n; static char _ZGVZ4nextvE1n;"
                                  "int next(void) { if (!_ZGVZ4nextvE1n) { _ZGVZ4nextvE1n = 1;"
                                  " _ZZ4nextvE1n = 7; } return _ZZ4nextvE1n++; }"),
                          {Replaces("next")});
    unit.new_data = {"_ZZ4nextvE1n", "_ZGVZ4nextvE1n"};
    unit.types = {{"variable _ZZ4nextvE1n", layout, "", false}};
    auto patch = session->Load(Module({unit}));
    EXPECT_TRUE(patch.ok()) << patch.status().ToString();
    if (!patch.ok()) return 0;
    Activate(*session, **patch);
    const int value = Find<int()>(*session, "next")();
    Deactivate(*session, **patch);
    return value;
  };
  EXPECT_EQ(next("int", "a"), 7);
  EXPECT_EQ(next("int", "a"), 8);
  EXPECT_EQ(next("long", "b"), 7) << "of another size it begins anew, and is initialised";
  EXPECT_EQ(next("unsigned long", "b"), 8);
  EXPECT_EQ(next("unsigned long", "c"), 7) << "so it does as something else";
}

TEST(PatchLinkTest, TypesThatAPatchHasBroughtStayAsTheyAre) {
  const std::vector<std::string> objects = {CounterUnit()};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  const auto load = [&](const std::string& layout, bool is_allowed) {
    PatchUnit unit = Unit("counter", Compile(kCounterFixed), {Replaces("step", Binding::kLocal)});
    unit.types = {{"struct T", layout, "MEND-E0101", is_allowed}};
    return session->Load(Module({unit}));
  };
  EXPECT_TRUE(load("a", false).ok());
  auto patch = load("b", false);
  ASSERT_TRUE(patch.ok()) << "the one before was never enabled: " << patch.status().ToString();
  (*patch)->module->Commit();
  EXPECT_TRUE(load("b", false).ok());
  EXPECT_THAT(load("a", false).status().message(),
              AllOf(HasSubstr("MEND-E0101: struct T"), HasSubstr("patch 'fix'")));
  patch = load("a", true);
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  (*patch)->module->Commit();
  EXPECT_TRUE(load("a", false).ok());
  EXPECT_FALSE(load("b", false).ok());
}

// As <mend/livepatch.h> has them.
constexpr char kDeclarations[] =
    "struct object { const char* name; const void* funcs; void *pre, *post, *preun, *postun; };"
    "struct state { unsigned long id; unsigned version; void* data; };"
    "struct patch { const struct object* objects; struct state* states; _Bool replace; };"
    "struct parameter { const char* name; void* variable; unsigned long kind, size; };"
    "static int applied = 10; static int level = 1; static struct patch patch;"
    "static struct state states[] = {{7, 1, &applied}, {0, 0, 0}};"
    "static struct state* const mine = &states[0];"
    "static int pre(void* o) { states[0].version = 9; return ++applied; }"
    "static const struct object objects[] = {{0, 0, (void*)pre, 0, 0, 0},"
    " {\"guest\", 0, 0, 0, 0, (void*)pre}, {(const char*)~0UL, 0, 0, 0, 0, 0}};"
    "static struct patch patch = {objects, states, 1};"
    "__attribute__((used)) struct patch* const __mend_livepatch = &patch;"
    "__attribute__((used, section(\"mend_parameters\"), aligned(8)))"
    "static const struct parameter mend_parameter_level = {\"level\", (void*)&level, 2, 4};";

PatchUnit Declaring(const std::string& more = "") {
  PatchUnit unit = Unit("counter",
                        Compile(std::string(kCounterFixed) + kDeclarations +
                                "int* of(int n) { return n ? &level : &applied; }"
                                "void* record(void) { return mine; }" +
                                more),
                        {Replaces("step", Binding::kLocal)});
  unit.new_functions = {"pre", "of", "record"};
  unit.new_data = {"applied", "level",
                   "patch",   "states",
                   "objects", "__mend_livepatch",
                   "mine",    "mend_parameter_level"};
  return unit;
}

TEST(PatchLinkTest, WhatASourcePatchDeclaresIsItsOwn) {
  const std::vector<std::string> objects = {CounterUnit()};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  SessionUsage once;
  int applied = 10;
  for (int round = 0; round < 4; ++round) {
    auto first = session->Load(Module({Declaring()}));
    auto second = session->Load(Module({Declaring()}));
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    ASSERT_TRUE(second.ok()) << second.status().ToString();
    for (Patch* const patch : {first->get(), second->get()}) {
      ASSERT_EQ(patch->states.size(), 1u);
      EXPECT_EQ(patch->states[0].id, 7u);
      EXPECT_EQ(patch->states[0].record->version, 1u) << "as in the source";
      EXPECT_EQ(*static_cast<int*>(patch->states[0].record->data), applied) << "a static is one";
      EXPECT_EQ(patch->descriptor->states, patch->states[0].record);
      ASSERT_EQ(patch->objects.size(), 2u);
      EXPECT_EQ(patch->objects[0].name, "");
      EXPECT_EQ(patch->objects[0].functions.size(), 1u);
      EXPECT_EQ(patch->objects[1].name, "guest");
      EXPECT_EQ(patch->objects[1].callbacks.pre_patch, nullptr);
      EXPECT_NE(patch->objects[1].callbacks.post_unpatch, nullptr);
      EXPECT_EQ(patch->objects[0].callbacks.pre_patch(nullptr), ++applied);
      EXPECT_EQ(patch->states[0].record->version, 9u);
      EXPECT_EQ(*patch->parameters.Get("level"), "1");
      EXPECT_TRUE(patch->parameters.Set("level", "5").ok());
    }
    EXPECT_NE((*first)->states[0].record, (*second)->states[0].record);
    first->reset();
    EXPECT_EQ((*second)->states[0].record->version, 9u) << "outlives the other";
    second->reset();
    if (round == 1) once = session->Usage();
  }
  EXPECT_EQ(session->Usage().permanent_bytes, once.permanent_bytes);
  EXPECT_EQ(session->Usage().module_bytes, once.module_bytes);
}

TEST(PatchLinkTest, WrongDeclarationsAreRefused) {
  const std::vector<std::string> objects = {CounterUnit()};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  ASSERT_EQ(LoadError(*session, Module({Declaring()})), "loaded");
  const SessionUsage before = session->Usage();
  // Whose descriptor is data that this patch does not have.
  PatchUnit elsewhere = Declaring();
  elsewhere.new_data.erase(
      std::find(elsewhere.new_data.begin(), elsewhere.new_data.end(), "states"));
  EXPECT_THAT(LoadError(*session, Module({elsewhere})), HasSubstr("leads to 'states'"));
  PatchUnit owner = Declaring(
      "__attribute__((used, section(\"mend_state_owners\"), aligned(8)))"
      "static void* mend_state_owner_1[3] = {(void*)8};");
  owner.new_data.push_back("mend_state_owner_1");
  EXPECT_THAT(LoadError(*session, Module({owner})), HasSubstr("EINVAL: the patch's owners"));
  PatchUnit stray = Declaring(
      "__attribute__((used, section(\"mend_state_owners\"), aligned(8)))"
      "static void* mend_state_owner_1[7] = {(void*)8};");
  stray.new_data.push_back("mend_state_owner_1");
  EXPECT_THAT(LoadError(*session, Module({stray})), HasSubstr("no state 8, but an owner for it"));
  EXPECT_EQ(session->Usage().module_bytes, before.module_bytes);
}

TEST(PatchLinkTest, RefusalsNameWhatIsWrongAndLeaveNothing) {
  const std::vector<std::string> objects = {
      CounterUnit(), CompileUnit("bare",
                                 "__attribute__((patchable_function_entry(0, 0))) int bare(void) {"
                                 " return 1; }",
                                 {"bare"})};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  const SessionUsage before = session->Usage();
  const std::string fixed = Compile(kCounterFixed);

  PatchedFunction other = Replaces("step", Binding::kLocal);
  other.base_fingerprint = "base:another";
  EXPECT_THAT(LoadError(*session, Module({Unit("counter", fixed, {other})})),
              AllOf(HasSubstr("step"), HasSubstr("another")));
  EXPECT_THAT(LoadError(*session, Module({Unit("nowhere", fixed, {})})), HasSubstr("nowhere.c"));
  EXPECT_THAT(LoadError(*session, Module({Unit("counter", fixed, {Replaces("gone")})})),
              HasSubstr("gone"));
  EXPECT_THAT(LoadError(*session, Module({Unit("bare", Compile("int bare(void) { return 2; }"),
                                               {Replaces("bare")})})),
              AllOf(HasSubstr("bare"), HasSubstr("not patchable")));
  const std::string undefined = Compile(
      "int missing_one(void), missing_two(void); static int unlisted;"
      "int peek(void) { return missing_one() + missing_two() + ++unlisted; }");
  EXPECT_THAT(LoadError(*session, Module({Unit("counter", undefined, {Replaces("peek")})})),
              AllOf(HasSubstr("missing_one"), HasSubstr("missing_two"), HasSubstr("unlisted")));
  EXPECT_THAT(LoadError(*session, Module({Unit("counter", "rubbish", {Replaces("peek")})})),
              HasSubstr("counter.c"));
  PatchModule held = Module({});
  held.hold = {"no_such_function"};
  EXPECT_THAT(LoadError(*session, held), HasSubstr("no_such_function"));

  EXPECT_EQ(session->Usage().permanent_bytes, before.permanent_bytes);
  EXPECT_EQ(session->Usage().module_bytes, before.module_bytes);
  auto patch = session->Load(Module({Unit("counter", fixed, {Replaces("step", Binding::kLocal)})}));
  EXPECT_TRUE(patch.ok()) << "a retry after refusals works";
}

TEST(PatchLinkTest, ExceptionsAreCaughtInAndThroughNewVersions) {
  // C++ units have no description here; C sources throw through a library function instead.
  const std::vector<std::string> objects = {
      CompileUnit("q", "int hook(int n) { return n; }", {"hook"}),
      Compile(
          "extern \"C\" int hook(int); extern \"C\" void fail() { throw 7; }"
          "extern \"C\" int run() { try { return hook(1); } catch (int x) { return 100 + x; } }",
          true)};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  auto patch = session->Load(
      Module({Unit("q", Compile("void fail(void); int hook(int n) { fail(); return n; }"),
                   {Replaces("hook")})}));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  auto* run = Find<int()>(*session, "run");
  EXPECT_EQ(run(), 1);
  Activate(*session, **patch);
  EXPECT_EQ(run(), 107);
}

}  // namespace
}  // namespace mend::jit
