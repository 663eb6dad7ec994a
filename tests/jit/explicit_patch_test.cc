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

TEST_F(ExplicitPatchTest, IsWhatItsDescriptorSays) {
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
