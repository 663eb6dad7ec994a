// Explicit patches: linking, reading their descriptor, resolving their functions. The core is not
// here.
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jit/session.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// As <mend/livepatch.h> has them.
constexpr char kTypes[] =
    "typedef void (*F)(void); struct func { const char* old; F fn; unsigned long pos; };"
    "struct object { const char* name; const struct func* funcs; void *pre, *post, *preun, "
    "*postun; };"
    "struct state { unsigned long id; unsigned version; void* data; };"
    "struct patch { const struct object* objects; struct state* states; _Bool replace; };"
    "\n#define END {0, 0, 0}\n"
    "#define OBJECTS_END {(const char*)~0UL, 0, 0, 0, 0, 0}\n"
    "#define LIVEPATCH(p) __attribute__((used)) struct patch* const __mend_livepatch = &p\n";

PatchModule Explicit(const std::vector<std::string>& objects) {
  PatchModule module;
  module.name = "fix";
  for (size_t i = 0; i < objects.size(); ++i) {
    module.objects.push_back({"patch" + std::to_string(i) + ".c", objects[i]});
    module.content_hash += std::to_string(std::hash<std::string>()(objects[i]));
  }
  return module;
}

PatchModule ExplicitText(const std::string& text) { return Explicit({Compile(kTypes + text)}); }

// A patch of the program with these entries of its array of functions.
std::string Replacing(const std::string& entries) {
  return "static const struct func funcs[] = {" + entries +
         ", END}; static const struct object objects[] = {{0, funcs, 0, 0, 0, 0}, OBJECTS_END};"
         "static struct patch p = {objects, 0, 1}; LIVEPATCH(p);";
}

FunctionDescription Described(const std::string& name, bool nounwind = false,
                              std::vector<std::string> inlined = {}) {
  FunctionDescription described;
  described.name = name;
  described.patchable = true;
  described.fingerprint = "base:" + name;
  described.nounwind = nounwind;
  described.inlined = std::move(inlined);
  return described;
}

class ExplicitPatchTest : public ::testing::Test {
 protected:
  static std::string Program() {
    ObjectDescription description;
    description.functions = {Described("broken"),          Described("steady", /*nounwind=*/true),
                             Described("copied"),          Described("holder", false, {"copied"}),
                             Described("only", false, {}), Described("outer", false, {"holder"})};
    return CompileDescribed("program",
                            "int value = 10; int broken(int n) { return n; }"
                            "int steady(int n) { return n; } int copied(int n) { return n; }"
                            "int holder(int n) { return n + 1; } int outer(int n) { return n + 2; }"
                            "static int twin(void) { return 1; } int one(void) { return twin(); }"
                            "int (*volatile keep)(void) = twin;",
                            std::move(description));
  }

  // The status of loading, and then of resolving the patch's objects.
  std::string Outcome(const PatchModule& module) {
    auto patch = session_->Load(module);
    if (!patch.ok()) return std::string(patch.status().message());
    for (PatchObject& object : (*patch)->objects) {
      absl::Status resolved = session_->ResolveObject(patch->get(), &object);
      if (!resolved.ok()) return std::string(resolved.message());
    }
    return "fine";
  }

  const std::vector<std::string> objects_ = {
      Program(), CompileUnit("other",
                             "static int twin(void) { return 2; } int two(void) { return "
                             "twin(); } int (*volatile keep2)(void) = twin;",
                             {"two"})};
  std::unique_ptr<Session> session_ = Host(objects_);
};

TEST_F(ExplicitPatchTest, M1_M2_M3_M9_IsWhatItsDescriptorSays) {
  auto patch = session_->Load(ExplicitText(
      "extern int value; static int fixed(int n) { return n + ++value; }"
      "static int pre(void* o) { return o == 0; } static void post(void* o) { value = o == 0; }"
      "static const struct func funcs[] = {{\"broken\", (F)fixed, 0}, {\"twin\", (F)fixed, 2}, "
      "END};"
      "static const struct object objects[] = {{0, funcs, (void*)pre, 0, 0, (void*)post},"
      " {\"module\", 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, OBJECTS_END};"
      "static struct state states[] = {{7, 3, 0}, {8, 1, &value}, {0, 0, 0}};"
      "static struct patch p = {objects, states, 0}; LIVEPATCH(p);"));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  EXPECT_FALSE((*patch)->replace);
  EXPECT_NE((*patch)->descriptor, nullptr);
  ASSERT_EQ((*patch)->objects.size(), 3u);
  PatchObject& program = (*patch)->objects[0];
  EXPECT_EQ((*patch)->objects[1].name, "module");
  EXPECT_EQ((*patch)->objects[2].name, "");
  ASSERT_EQ(program.functions.size(), 2u);
  EXPECT_TRUE(program.functions[0].old.entry.is_null()) << "resolved later";
  EXPECT_EQ(program.functions[1].old.sympos, 2u);
  EXPECT_EQ(program.callbacks.pre_patch(nullptr), 1);
  EXPECT_EQ(program.callbacks.post_patch, nullptr);
  ASSERT_EQ((*patch)->states.size(), 2u);
  EXPECT_EQ((*patch)->states[1].id, 8u);
  EXPECT_EQ((*patch)->states[0].version, 3u);
  EXPECT_EQ((*patch)->states[1].record->data, Find<int>(*session_, "value"));

  ASSERT_TRUE(session_->ResolveObject(patch->get(), &program).ok());
  auto broken = session_->FindFunction("broken");
  auto twin = session_->FindFunction("twin,2");
  ASSERT_TRUE(broken.ok() && twin.ok());
  EXPECT_EQ(program.functions[0].old.entry, broken->entry);
  EXPECT_EQ(program.functions[0].old.slot, broken->slot);
  EXPECT_EQ(program.functions[1].old.entry, twin->entry);
  const PatchFunction& fixed = program.functions[0];
  EXPECT_TRUE(fixed.new_text.Contains(fixed.new_body));
  EXPECT_EQ(reinterpret_cast<int (*)(int)>(fixed.new_body.value)(1), 12);
  EXPECT_EQ(session_->Describe(fixed.new_body), "fixed");
}

TEST_F(ExplicitPatchTest, NoReplaceOverridesTheDescriptor) {
  PatchModule module =
      ExplicitText("int f(int n) { return n; }" + Replacing("{\"broken\", (F)f, 0}"));
  EXPECT_TRUE((*session_->Load(module))->replace);
  module.replace = false;
  EXPECT_FALSE((*session_->Load(module))->replace);
}

TEST_F(ExplicitPatchTest, NamesAndPositionsHaveTheKernelsErrors) {
  const std::string f = "int f(int n) { return n; } int g(int n) { return n + 1; }";
  EXPECT_EQ(Outcome(ExplicitText(f + Replacing("{\"nothing\", (F)f, 0}"))),
            "EINVAL: symbol 'nothing' not found in symbol table");
  EXPECT_EQ(Outcome(ExplicitText(f + Replacing("{\"twin\", (F)f, 0}"))),
            "EINVAL: unresolvable ambiguity for symbol 'twin' in object 'test'");
  EXPECT_EQ(Outcome(ExplicitText(f + Replacing("{\"twin\", (F)f, 3}"))),
            "EINVAL: symbol position 3 for symbol 'twin' in object 'test' not found");
  EXPECT_EQ(Outcome(ExplicitText(f + Replacing("{\"twin\", (F)f, 2}"))), "fine");
  EXPECT_EQ(Outcome(ExplicitText(f + Replacing("{\"broken\", (F)f, 0}, {\"broken\", (F)g, 1}"))),
            "EINVAL: 'broken' and 'broken' are the same function");
}

TEST_F(ExplicitPatchTest, WrongDescriptorsAreRefused) {
  const std::string f = "int f(int n) { return n; }";
  const auto outcome = [this, &f](const std::string& text) {
    return Outcome(ExplicitText(f + text));
  };
  EXPECT_EQ(outcome("int no_descriptor;"),
            "EINVAL: module fix is not marked as a livepatch module");
  EXPECT_THAT(outcome("static struct patch p = {0, 0, 1}; LIVEPATCH(p);"), HasSubstr("EINVAL"));
  EXPECT_THAT(outcome("static const struct object o[] = {OBJECTS_END};"
                      "static struct patch p = {o, 0, 1}; LIVEPATCH(p);"),
              HasSubstr("no objects"));
  EXPECT_THAT(outcome(Replacing("{\"broken\", 0, 0}")), HasSubstr("no replacement"));
  EXPECT_THAT(outcome(Replacing("{0, (F)f, 0}")), HasSubstr("no old name"));
  EXPECT_THAT(outcome(Replacing("{\"\", (F)f, 0}")), HasSubstr("EINVAL"));
  EXPECT_THAT(outcome("static int data;" + Replacing("{\"broken\", (F)&data, 0}")),
              HasSubstr("ENOENT: kallsyms size lookup failed for 'broken' replacement"));
  EXPECT_THAT(outcome(Replacing("{(const char*)16, (F)f, 0}")), HasSubstr("EINVAL"));
  EXPECT_THAT(outcome("static struct patch p = {(void*)4096, 0, 1}; LIVEPATCH(p);"),
              HasSubstr("EINVAL"));
  EXPECT_THAT(outcome("static const struct object o[] = {{0, 0, (void*)64, 0, 0, 0}, OBJECTS_END};"
                      "static struct patch p = {o, 0, 1}; LIVEPATCH(p);"),
              HasSubstr("no function"));
  EXPECT_THAT(outcome("static const struct object o[] = {OBJECTS_END};"
                      "__attribute__((used)) struct patch* const __mend_livepatch = (void*)8;"),
              HasSubstr("EINVAL"));
}

TEST_F(ExplicitPatchTest, MissingSymbolsAreRefusedByName) {
  EXPECT_THAT(Outcome(ExplicitText("int nowhere(int); int f(int n) { return nowhere(n); }" +
                                   Replacing("{\"broken\", (F)f, 0}"))),
              AllOf(HasSubstr("nowhere"), HasSubstr("patch0.c")));
}

TEST_F(ExplicitPatchTest, InlinedCopiesElsewhereAreNamed) {
  const std::string text = "int f(int n) { return n; } int g(int n) { return n; }";
  PatchModule module = ExplicitText(text + Replacing("{\"copied\", (F)f, 0}"));
  // `holder` has a copy of `copied`, and `outer` one of `holder`.
  EXPECT_THAT(Outcome(module), AllOf(HasSubstr("'copied' is also inlined into 'holder'"),
                                     HasSubstr("--allow-inlined")));
  module.allow_inlined = true;
  EXPECT_EQ(Outcome(module), "fine");
  EXPECT_THAT(
      Outcome(ExplicitText(text + Replacing("{\"copied\", (F)f, 0}, {\"holder\", (F)g, 0}"))),
      HasSubstr("inlined into 'outer'"));
  EXPECT_EQ(Outcome(ExplicitText("int h(int n) { return n; }" + text +
                                 Replacing("{\"copied\", (F)f, 0}, {\"holder\", (F)g, 0},"
                                           "{\"outer\", (F)h, 0}"))),
            "fine");
}

TEST_F(ExplicitPatchTest, ReplacementThatMayThrowNeedsCallersThatExpectIt) {
  const auto module = [](const std::string& old, bool nounwind) {
    ObjectDescription description;
    description.functions = {Described("f", nounwind)};
    return Explicit({CompileDescribed(
        "patch", kTypes + ("int f(int n) { return n; }" + Replacing("{\"" + old + "\", (F)f, 0}")),
        std::move(description))});
  };
  EXPECT_THAT(Outcome(module("steady", false)), HasSubstr("may throw"));
  EXPECT_EQ(Outcome(module("steady", true)), "fine");
  EXPECT_EQ(Outcome(module("broken", false)), "fine");
}

TEST_F(ExplicitPatchTest, FunctionsOfTheProgramAndOfLibrariesCanBeReplacements) {
  auto patch = session_->Load(
      ExplicitText("int one(void); extern char* strdup(const char*);" +
                   Replacing("{\"broken\", (F)one, 0}, {\"steady\", (F)strdup, 0}")));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  const auto& functions = (*patch)->objects[0].functions;
  EXPECT_EQ(functions[0].new_text.begin, session_->FindFunction("one")->entry);
  EXPECT_FALSE(functions[1].new_text.empty());
}

TEST_F(ExplicitPatchTest, DataStaysAndServesTheNextLoad) {
  const PatchModule module = ExplicitText(
      "static int count = 5; int f(int n) { return n + count++; }"
      "const char* name(void) { return \"literal\"; }" +
      Replacing("{\"broken\", (F)f, 0}, {\"steady\", (F)name, 0}"));
  auto first = session_->Load(module);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  const auto call = [](const Patch& patch, size_t i) {
    return patch.objects[0].functions[i].new_body.value;
  };
  EXPECT_EQ(reinterpret_cast<int (*)(int)>(call(**first, 0))(0), 5);
  EXPECT_EQ(reinterpret_cast<int (*)(int)>(call(**first, 0))(0), 6);
  const char* const literal = reinterpret_cast<const char* (*)()>(call(**first, 1))();
  first->reset();
  EXPECT_STREQ(literal, "literal") << "somebody may have kept it";
  const SessionUsage once = session_->Usage();
  for (int i = 0; i < 10; ++i) {
    auto again = session_->Load(module);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(reinterpret_cast<int (*)(int)>(call(**again, 0))(0), 5) << "starts afresh";
    EXPECT_EQ(reinterpret_cast<const char* (*)()>(call(**again, 1))(), literal);
  }
  EXPECT_EQ(session_->Usage().module_bytes, once.module_bytes);
  EXPECT_EQ(session_->Usage().permanent_bytes, once.permanent_bytes);
}

// --- symbols of guest modules that may not be there (I7, I8) ---

std::string InGuest(const std::string& symbol) {
  return " __asm__(\".klp.sym.guest." + symbol + "\");";
}

// A patch of the program that also has the object `guest`, without functions.
std::string ReplacingBesideGuest(const std::string& functions) {
  return "static const struct func funcs[] = {" + functions +
         ", END}; static const struct object o[] = {{0, funcs, 0, 0, 0, 0},"
         " {\"guest\", 0, 0, 0, 0, 0}, OBJECTS_END};"
         "static struct patch p = {o, 0, 1}; LIVEPATCH(p);";
}

class LateSymbolTest : public ExplicitPatchTest {
 protected:
  std::unique_ptr<GuestModule> LinkGuest(int level) {
    const std::string twin = "static int step(int n) { return n + " + std::to_string(level) +
                             "; } int (*volatile keep)(int) = step;";
    files_.push_back(GuestModuleFile(
        {Compile("static int step(int n) { return n; } static int (*volatile keep)(int) = step;"
                 "static int level = " +
                 std::to_string(level) +
                 "; int take(void) { return keep(level++); } int many[3] = {1, 2, 3};"),
         Compile(twin)}));
    auto module = session_->Link("guest", {.path = "guest.so", .bytes = files_.back()});
    EXPECT_TRUE(module.ok()) << module.status().ToString();
    return module.ok() ? *std::move(module) : nullptr;
  }

  std::vector<std::string> files_;
};

TEST_F(LateSymbolTest, I7_IsBoundWheneverItsObjectIsThere) {
  auto patch = session_->Load(
      ExplicitText("extern int level" + InGuest("level,0") + "extern int many[3]" +
                   InGuest("many,0") + "int second(int)" + InGuest("step,2") +
                   "static int* const table[2] = {&many[2], &level};"
                   "int f(int n) { return second(n) * 100 + level + many[1]; }"
                   "int* g(int n) { return table[n]; }" +
                   ReplacingBesideGuest("{\"broken\", (F)f, 0}, {\"steady\", (F)g, 0}")));
  ASSERT_TRUE(patch.ok()) << patch.status().ToString();
  PatchObject& guest = (*patch)->objects[1];
  auto* f = reinterpret_cast<int (*)(int)>((*patch)->objects[0].functions[0].new_body.value);
  auto* g = reinterpret_cast<int* (*)(int)>((*patch)->objects[0].functions[1].new_body.value);
  ASSERT_TRUE(session_->ResolveObject(patch->get(), &(*patch)->objects[0]).ok());
  for (const int level : {40, 50}) {
    EXPECT_EQ(g(0), nullptr);
    EXPECT_EQ(g(1), nullptr);
    auto module = LinkGuest(level);
    ASSERT_NE(module, nullptr);
    const absl::Status resolved = session_->ResolveObject(patch->get(), &guest);
    ASSERT_TRUE(resolved.ok()) << resolved;
    EXPECT_EQ(f(1), (1 + level) * 100 + level + 2);
    EXPECT_EQ(g(0), reinterpret_cast<int*>(Session::FindSymbol(*module, "many")) + 2);
    EXPECT_EQ(++*g(1), level + 1) << "the module's own";
    session_->ForgetObject(patch->get(), &guest);
  }
  EXPECT_EQ(g(0), nullptr);
}

TEST_F(LateSymbolTest, I7_WhatTheObjectDoesNotHaveIsRefusedInTheKernelsWords) {
  auto module = LinkGuest(1);
  const auto outcome = [this](const std::string& symbol) {
    return Outcome(ExplicitText("extern int it" + InGuest(symbol) +
                                "int f(int n) { return n + it; }" +
                                ReplacingBesideGuest("{\"broken\", (F)f, 0}")));
  };
  EXPECT_EQ(outcome("level,1"), "fine");
  EXPECT_EQ(outcome("none,0"), "EINVAL: symbol 'none' not found in symbol table");
  EXPECT_EQ(outcome("step,0"),
            "EINVAL: unresolvable ambiguity for symbol 'step' in object 'guest'");
  EXPECT_EQ(outcome("step,3"),
            "EINVAL: symbol position 3 for symbol 'step' in object 'guest' not found");
  for (const std::string symbol : {"level", "level,x", ",0"}) {
    EXPECT_THAT(outcome(symbol),
                AllOf(HasSubstr("EINVAL"), HasSubstr("is no symbol of an object")));
  }
  EXPECT_THAT(
      Outcome(ExplicitText("extern int it" + InGuest("level,0") +
                           "int f(int n) { return n + it; }" + Replacing("{\"broken\", (F)f, 0}"))),
      HasSubstr("of object 'guest', which it does not have"));
  // A guest module or a program has no such references.
  EXPECT_THAT(std::string(session_
                              ->Link("other", {.path = "",
                                               .bytes = GuestModuleFile(
                                                   {Compile("extern int it" + InGuest("level,0") +
                                                            "int f(void) { return it; }")})})
                              .status()
                              .message()),
              HasSubstr("undefined symbol: .klp.sym.guest.level,0"));
}

TEST_F(ExplicitPatchTest, ALoadThatFailsLeavesTheDataOfTheOneBefore) {
  const std::string text =
      "static int count = 5; static const int fixed[3] = {1, 2, 3};"
      "const int* g(int n) { return n ? &fixed[n] : &count; }"
      "int f(int n) { return n + count++; }";
  PatchModule module =
      ExplicitText(text + Replacing("{\"broken\", (F)f, 0}, {\"steady\", (F)g, 0}"));
  auto first = session_->Load(module);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  const auto& functions = (*first)->objects[0].functions;
  auto* g = reinterpret_cast<const int* (*)(int)>(functions[1].new_body.value);
  const int* const count = g(0);
  const int* const fixed = g(2);
  EXPECT_EQ(reinterpret_cast<int (*)(int)>(functions[0].new_body.value)(0), 5);
  first->reset();
  const SessionUsage before = session_->Usage();
  // The same module, as far as names go: one that cannot be linked, and one without a descriptor.
  for (const std::string& wrong :
       {text + "int nowhere(int); int many[900] = {1}; int h(int n) { return nowhere(many[n]); }" +
            Replacing("{\"broken\", (F)h, 0}"),
        text}) {
    PatchModule other = ExplicitText(wrong);
    other.content_hash = module.content_hash;
    EXPECT_FALSE(session_->Load(other).ok());
    EXPECT_EQ(*count, 6);
    EXPECT_EQ(*fixed, 3);
    EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
  }
  auto again = session_->Load(module);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(*count, 5) << "starts afresh";
}

// Who links it does not yet know whether it is let in.
TEST_F(ExplicitPatchTest, APatchThatIsNeverEnabledLeavesTheDataOfTheOneBefore) {
  const PatchModule module = ExplicitText("static int count = 5; int* g(void) { return &count; }" +
                                          Replacing("{\"broken\", (F)g, 0}"));
  const auto count_of = [](const Patch& patch) {
    return reinterpret_cast<int* (*)()>(patch.objects[0].functions[0].new_body.value)();
  };
  auto first = session_->Load(module);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  (*first)->module->Commit();
  int* const count = count_of(**first);
  *count = 77;
  first->reset();
  for (int i = 0; i < 2; ++i) {
    auto refused = session_->Load(module);
    ASSERT_TRUE(refused.ok()) << refused.status().ToString();
    EXPECT_EQ(count_of(**refused), count);
    EXPECT_EQ(*count, 5);
    refused->reset();
    EXPECT_EQ(*count, 77);
  }
  auto enabled = session_->Load(module);
  ASSERT_TRUE(enabled.ok()) << enabled.status().ToString();
  (*enabled)->module->Commit();
  enabled->reset();
  EXPECT_EQ(*count, 5);
}

TEST_F(ExplicitPatchTest, TextThatDataLeadsToStaysAndIsThatOfTheNextLoad) {
  const PatchModule module = ExplicitText(
      "static int one(int n) { return n + 1; } static int two(int n) { return n + 2; }"
      "struct table { int (*f)(int); int count; };"
      "struct table table = {one, 5};"
      "int f(int n) { table.f = two; table.count += n; return table.count + 3; }"
      "struct table* g(void) { return &table; }" +
      Replacing("{\"broken\", (F)f, 0}, {\"steady\", (F)g, 0}"));
  struct Table {
    int (*f)(int);
    int count;
  };
  Table* table = nullptr;
  SessionUsage once;
  for (int round = 0; round < 5; ++round) {
    auto patch = session_->Load(module);
    ASSERT_TRUE(patch.ok()) << patch.status().ToString();
    (*patch)->module->Commit();
    const auto& functions = (*patch)->objects[0].functions;
    auto* const now = reinterpret_cast<Table* (*)()>(functions[1].new_body.value)();
    if (round == 0) table = now;
    EXPECT_EQ(now, table);
    EXPECT_EQ(table->f(10), 11) << "starts afresh";
    EXPECT_EQ(reinterpret_cast<int (*)(int)>(functions[0].new_body.value)(2), 10);
    EXPECT_EQ(session_->Describe(CodeAddress{reinterpret_cast<uintptr_t>(table->f)}), "two");
    patch->reset();
    EXPECT_EQ(table->f(10), 12) << "live objects lead there still";
    EXPECT_EQ(session_->Describe(CodeAddress{reinterpret_cast<uintptr_t>(table->f)}), "two")
        << "and whoever unwinds knows it";
    if (round == 0) once = session_->Usage();
    EXPECT_EQ(session_->Usage().module_bytes, once.module_bytes);
    EXPECT_EQ(session_->Usage().permanent_bytes, once.permanent_bytes);
  }
  // One that is refused leaves all as it was.
  const int count = table->count;
  auto refused = session_->Load(module);
  ASSERT_TRUE(refused.ok()) << refused.status().ToString();
  EXPECT_EQ(table->count, 5);
  refused->reset();
  EXPECT_EQ(table->count, count);
  EXPECT_EQ(table->f(10), 12);
}

TEST_F(ExplicitPatchTest, ParametersAreVariables) {
  const std::string parameter =
      "struct parameter { const char* name; void* variable; unsigned long kind, size; };"
      "__attribute__((used, section(\"mend_parameters\"), aligned(8)))"
      "static const struct parameter p0 = {\"level\", (void*)&level, 2, sizeof level};"
      "int f(int n) { return n; }" +
      Replacing("{\"broken\", (F)f, 0}");
  EXPECT_EQ(Outcome(ExplicitText("static int level = 1;" + parameter)), "fine");
  EXPECT_THAT(Outcome(ExplicitText("static const volatile int level = 1;" + parameter)),
              HasSubstr("EINVAL: the variable of parameter 'level' is constant"));
}

TEST_F(ExplicitPatchTest, RefusalsLeaveNothingBehind) {
  Outcome(ExplicitText("int f(int n) { return n; }" + Replacing("{\"nothing\", (F)f, 0}")));
  const SessionUsage before = session_->Usage();
  for (int i = 0; i < 5; ++i) {
    Outcome(ExplicitText("int nowhere(int); int f(int n) { return nowhere(n); }" +
                         Replacing("{\"broken\", (F)f, 0}")));
    Outcome(ExplicitText("int f(int n) { return n; }" + Replacing("{\"nothing\", (F)f, 0}")));
  }
  EXPECT_EQ(session_->Usage().permanent_bytes, before.permanent_bytes);
  EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
}

}  // namespace
}  // namespace mend::jit
