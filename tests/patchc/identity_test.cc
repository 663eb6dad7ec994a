// Names that mean something else after an edit, though the code looks as before, and variables that
// would begin anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using IdentityTest = CompareTest;

constexpr char kNoInline[] = "__attribute__((noinline)) ";

TEST_F(IdentityTest, CallersOfAStaticThatHidesAnotherUnitsFunctionAreInThePatch) {
  const std::string global = absl::StrCat(kNoInline, "int f(int x) { return x + 1; }\n");
  const std::string hiding = absl::StrCat(kNoInline, "static int f(int x) { return x + 100; }\n");
  const std::string user =
      "int user(int x) { return f(x) + 1; }\n"
      "int outside(int);\nstatic int (*const table[])(int) = {f, outside};\n"
      "int by_table(int x) { return table[x](x); }\n"
      "int apart(int x) { return x; }\n";
  MakeProgram({{"a.c", "int f(int);\n" + user}, {"b.c", global}});
  const BuildReport added = Build({{"a.c", hiding + user}});
  EXPECT_THAT(added.refusals, IsEmpty());
  EXPECT_THAT(Functions(added), UnorderedElementsAre("user changed", "by_table changed"));
  EXPECT_THAT(added.module.units.front().new_data, ElementsAre("table"));
}

TEST_F(IdentityTest, CallersOfAStaticThatIsGoneAreInThePatch) {
  const std::string global = absl::StrCat(kNoInline, "int f(int x) { return x + 1; }\n");
  const std::string hiding = absl::StrCat(kNoInline, "static int f(int x) { return x + 100; }\n");
  const std::string user = "int user(int x) { return f(x) + 1; }\nint apart(int x) { return x; }\n";
  MakeProgram({{"a.c", hiding + user}, {"b.c", global}});
  const BuildReport removed = Build({{"a.c", "int f(int);\n" + user}});
  EXPECT_THAT(removed.refusals, IsEmpty());
  EXPECT_THAT(Functions(removed), ElementsAre("user changed"));
}

TEST_F(IdentityTest, RefusesAThreadLocalThatHidesAnotherUnitsOne) {
  const std::string user = "int user(void) { return n; }\n";
  MakeProgram({{"a.c", "extern __thread int n;\n" + user}, {"b.c", "__thread int n = 5;\n"}});
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", "static __thread int n = 7;\n" + user}})),
              AllOf(HasSubstr("MEND-E0117"), HasSubstr("'n' is new")));
}

TEST_F(IdentityTest, RefusesAThreadLocalThatUncoversAnotherUnitsOne) {
  const std::string user = "int user(void) { return n; }\n";
  MakeProgram({{"a.c", "static __thread int n = 7;\n" + user}, {"b.c", "__thread int n = 5;\n"}});
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", "extern __thread int n;\n" + user}})),
              AllOf(HasSubstr("MEND-E0117"), HasSubstr("'n' is gone")));
}

TEST_F(IdentityTest, AFunctionThatMovesMeansTheStaticsOfItsNewUnit) {
  const std::string moved = absl::StrCat(kNoInline, "int moved(int x) { return help(x) * 2; }\n");
  const std::string one = absl::StrCat(kNoInline, "static int help(int x) { return x + 1; }\n",
                                       "int one(int x) { return help(x); }\n");
  const std::string two = absl::StrCat(kNoInline, "static int help(int x) { return x + 9; }\n",
                                       "int two(int x) { return help(x); }\n");
  MakeProgram({{"a.c", one + moved}, {"b.c", two}});
  const BuildReport report = Build({{"a.c", one}, {"b.c", two + moved}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), ElementsAre("moved changed"));
}

TEST_F(IdentityTest, RefusesAVariableThatMovesAndChanges) {
  MakeProgram({{"a.c", "int g = 7;\nint a(void) { return g; }\n"},
               {"b.c", "extern int g;\nint b(void) { return g; }\n"}});
  const std::string a = "extern int g;\nint a(void) { return g; }\n";
  EXPECT_THAT(Build({{"a.c", a}, {"b.c", "int g = 7;\nint b(void) { return g + 1; }\n"}}).refusals,
              IsEmpty());
  EXPECT_THAT(
      OnlyRefusal(Build({{"a.c", a}, {"b.c", "int g = 8;\nint b(void) { return g + 1; }\n"}})),
      AllOf(HasSubstr("MEND-E0111"), HasSubstr("'g'")));
}

TEST_F(IdentityTest, RefusesToUncoverAWeakFunction) {
  MakeProgram({{"a.c",
                "__attribute__((weak)) int hook(int x) { return x; }\n"
                "int a(int x) { return hook(x); }\n"},
               {"b.c", "int hook(int x) { return x + 1; }\nint b(int x) { return x; }\n"}});
  EXPECT_THAT(OnlyRefusal(Build({{"b.c", "int b(int x) { return x; }\n"}})),
              AllOf(HasSubstr("MEND-E0120"), HasSubstr("that of a.c would take its place")));
}

TEST_F(IdentityTest, AWeakDefinitionThatAnotherUnitReplacesIsNobodys) {
  const std::string weak =
      "__attribute__((weak)) int hook(int x) { return x + 1; }\n"
      "__attribute__((weak)) const int step = 5;\n"
      "int a(int x) { return hook(x) + step; }\n";
  MakeProgram({{"a.c", weak},
               {"b.c", "int hook(int x) { return x + 100; }\nconst int step = 50;\n"},
               {"c.c", "__attribute__((weak)) int hook(int x) { return x + 7; }\n"}});
  EXPECT_TRUE(Build({{"a.c", Replaced(weak, "x + 1;", "x + 2;")}}).no_change);
  const BuildReport constant = Build({{"a.c", Replaced(weak, "step = 5", "step = 6")}});
  EXPECT_THAT(constant.refusals, IsEmpty());
  for (const PatchUnit& unit : constant.module.units) EXPECT_THAT(unit.new_data, IsEmpty());
}

TEST_F(IdentityTest, RefusesToHaveAWeakDefinitionTakeAnothersPlace) {
  const std::string other = "__attribute__((weak)) int hook(int x) { return x + 7; }\n";
  MakeProgram({{"a.c",
                "__attribute__((weak)) int hook(int x) { return x; }\n"
                "int a(int x) { return hook(x); }\n"},
               {"b.c", other}});
  EXPECT_THAT(OnlyRefusal(Build({{"b.c", Replaced(other, "__attribute__((weak)) ", "")}})),
              AllOf(HasSubstr("MEND-E0122"), HasSubstr("that of b.c would take its place")));
}

TEST_F(IdentityTest, RefusesToMakeStaticWhatOthersUse) {
  const std::string b =
      "int level = 3;\nint getpid(void) { return level; }\nint user(void) { return getpid(); }\n";
  MakeProgram({{"a.c", "int getpid(void);\nint a(void) { return getpid(); }\n"},
               {"b.c", b},
               {"c.c", "extern int level;\nint c(void) { return level; }\n"}});
  EXPECT_THAT(
      OnlyRefusal(Build({{"b.c", Replaced(b, "int getpid", "static int getpid")}})),
      AllOf(HasSubstr("MEND-E0120"), HasSubstr("is gone, or static, but a.c refers to it")));
  EXPECT_THAT(OnlyRefusal(Build({{"b.c", Replaced(b, "int level", "static int level")}})),
              AllOf(HasSubstr("MEND-E0126"), HasSubstr("'level' is gone, or static, but c.c")));
}

TEST_F(IdentityTest, RefusesAnotherNameOfAFunctionThatTheProgramHas) {
  const std::string source = "int f(int x) { return x + 1; }\n";
  MakeProgram({{"a.c", source}});
  EXPECT_THAT(
      OnlyRefusal(Build({{"a.c", source + "int g(int x) __attribute__((alias(\"f\")));\n"}})),
      AllOf(HasSubstr("MEND-E0122"), HasSubstr("'g' is another name of 'f'")));
}

// As a build makes them that renames its objects: each has the other's name in its description.
TEST_F(IdentityTest, RefusesUnitsThatATargetCannotTellApart) {
  const std::string source =
      "#ifndef OTHER\n#define OTHER 1\n#endif\nint f(int x) { return x + OTHER; }\n";
  MakeProgram({{"a.c", source}});
  ASSERT_EQ(objects_.size(), 1u);
  const std::string object = objects_.front().front();
  bases_.clear();
  absl::StatusOr<Base> base = Base::FromObjects({{"a1.o", object}, {"a2.o", object}});
  ASSERT_TRUE(base.ok()) << base.status();
  bases_.push_back(*std::move(base));
  EXPECT_THAT(Build({{"a.c", Replaced(source, "x + OTHER", "x - OTHER")}}).refusals,
              Contains(Field(&Refusal::code, RefusalCode::kSourceAmbiguous)));
}

TEST_F(IdentityTest, AnotherUnitsStaticDoesNotStandForAFunctionThatIsGone) {
  MakeProgram({{"a.c", "int g(int x) { return x + 1; }\nint a(int x) { return x; }\n"},
               {"b.c", "int b(int x) { return x; }\n"},
               {"c.c", "int g(int);\nint c(int x) { return g(x); }\n"}});
  const std::string b = absl::StrCat("static ", kNoInline, "int g(int x) { return x * 2; }\n",
                                     "int b(int x) { return g(x); }\n");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", "int a(int x) { return x; }\n"}, {"b.c", b}})),
              AllOf(HasSubstr("MEND-E0120"), HasSubstr("c.c")));
}

TEST_F(IdentityTest, RefusesToInitialiseAVariableThatExists) {
  const std::string source = "int start();\nint next() { static int n; return n += 3; }\n";
  MakeProgram({{"a.cc", source}});
  EXPECT_THAT(OnlyRefusal(Build({{"a.cc", Replaced(source, "int n;", "int n = start();")}})),
              AllOf(HasSubstr("MEND-E0111"), HasSubstr("'next()::n' would be initialised again")));
  EXPECT_THAT(Build({{"a.cc", Replaced(source, "n;", "m = start(), n; n += m;")}}).refusals,
              IsEmpty());
}

TEST_F(IdentityTest, FunctionsOfTheSameCodeAreNotOneFunction) {
  const std::string source = "int one(void) { return 0; }\nint two(void) { return 0; }\n";
  MakeProgram({{"a.c", source}});
  const BuildReport report =
      Build({{"a.c", Replaced(source, "one(void) { return 0", "one(void) { return 1")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), ElementsAre("one changed"));
}

TEST_F(IdentityTest, WarnsOfAnInitialiserThatHasRun) {
  const std::string source =
      "int start(int);\nint next(int x) { static int n = start(1); return n += x; }\n";
  MakeProgram({{"a.cc", source}});
  const BuildReport report = Build({{"a.cc", Replaced(source, "start(1)", "start(50)")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(report.warnings,
              ElementsAre(HasSubstr("variable 'next(int)::n' keeps its value where it has been")));
  EXPECT_THAT(Build({{"a.cc", "\n" + Replaced(source, "+= x", "-= x")}}).warnings, IsEmpty());
}

TEST_F(IdentityTest, RefusesToInitialiseAThreadLocalThatExists) {
  const std::string source = "int start();\nthread_local int n;\nint next() { return n += 3; }\n";
  MakeProgram({{"a.cc", source}});
  EXPECT_THAT(OnlyRefusal(Build({{"a.cc", Replaced(source, "int n;", "int n = start();")}})),
              AllOf(HasSubstr("MEND-E0114"), HasSubstr("'n'")));
}

TEST_F(IdentityTest, RefusesAStaticOfAFunctionWithOtherParameters) {
  const std::string source = "int next(int x) { static int n; return n += x; }\n";
  const std::string user = source + "int user() { return next(1); }\n";
  MakeProgram({{"a.cc", user}});
  EXPECT_THAT(OnlyRefusal(Build({{"a.cc", Replaced(user, "int x", "long x")}})),
              AllOf(HasSubstr("MEND-E0117"), HasSubstr("'next(long)::n' is new")));
}

TEST_F(IdentityTest, RefusesAStaticOfALambdaThatGotAnotherNumber) {
  const std::string source =
      "inline int next(int x) { auto one = [](int y) { static int n; return n += y; }; return "
      "one(x); }\nint user(int x) { return next(x); }\n";
  MakeProgram({{"a.cc", source}});
  EXPECT_THAT(OnlyRefusal(Build({{"a.cc", Replaced(source, "auto one",
                                                   "x = [](int y) { return y * 7; }(x); auto "
                                                   "one")}})),
              AllOf(HasSubstr("MEND-E0117"), HasSubstr("is gone")));
}

TEST_F(IdentityTest, StaticsOfOneNameAreTheSameWhateverElseTheUnitGets) {
  const std::string source = absl::StrCat(
      "void say(const char*);\nint level;\n", kNoInline, "void set(void) { level = 1; }\n",
      "int count(int odd) {\n  if (odd) { static int n; return ++n; }\n"
      "  static int n = 100; return n += 2;\n}\nint user(void) { return count(level); }\n");
  MakeProgram({{"a.c", source}});
  const BuildReport report = Build(
      {{"a.c", Replaced(Replaced(source, "= 1;", "= 1; say(\"set\"); static int m; level += m++;"),
                        "count(level)", "count(!level)")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), UnorderedElementsAre("set changed", StartsWith("user ")));
  EXPECT_THAT(Build({{"a.c", Replaced(source, "if (odd)",
                                      "if (odd > 1) { static int n; return --n; }\n  if (odd)")}})
                  .refusals,
              Contains(Field(&Refusal::code, RefusalCode::kStaticAmbiguous)));
}

TEST_F(IdentityTest, RefusesStaticsThatAreNumberedByACounter) {
  const std::string source =
      "#define NAME2(a, b) a##b\n#define NAME(a, b) NAME2(a, b)\n"
      "#define COUNTS(f) COUNTS2(f, NAME(calls, __COUNTER__))\n"
      "#define COUNTS2(f, n) static int n; int f(void) { return ++n; }\n"
      "COUNTS(one)\nCOUNTS(two)\n";
  MakeProgram({{"a.c", source}});
  EXPECT_THAT(
      OnlyRefusal(Build({{"a.c", Replaced(source, "COUNTS(one)", "COUNTS(zero) COUNTS(one)")}})),
      AllOf(HasSubstr("MEND-E0117"), HasSubstr("__COUNTER__")));
  EXPECT_THAT(Build({{"a.c", Replaced(source, "++n", "n += 2")}}).refusals, IsEmpty());
}

TEST_F(IdentityTest, RefusesFunctionsThatAreNumberedByACounter) {
  const std::string source =
      "#define NAME2(a, b) a##b\n#define NAME(a, b) NAME2(a, b)\n"
      "#define HANDLES(value) HANDLES2(value, __COUNTER__)\n"
      "#define HANDLES2(value, n)                                                    \\\n"
      "  __attribute__((noinline)) static int NAME(handle, n)(int x) { return value; } \\\n"
      "  int (*NAME(handler, n))(int) = NAME(handle, n);\n"
      "HANDLES(x + 1)\nHANDLES(x * 9)\n"
      "int version2(int x) { return x - 4; }\n";
  MakeProgram({{"a.c", source}});
  const auto build = [&](std::string_view from, std::string_view to) {
    return Build({{"a.c", Replaced(source, from, to)}});
  };
  EXPECT_THAT(
      OnlyRefusal(build("HANDLES(x + 1)\nHANDLES(x * 9)", "HANDLES(x * 9)\nHANDLES(x + 1)")),
      AllOf(HasSubstr("MEND-E0123"), HasSubstr("__COUNTER__")));
  EXPECT_THAT(OnlyRefusal(build("HANDLES(x + 1)", "HANDLES(x - 50) HANDLES(x + 1)")),
              HasSubstr("MEND-E0123"));
  EXPECT_THAT(build("x + 1", "x + 2").refusals, IsEmpty());
  // Somebody has spelled that number.
  EXPECT_THAT(
      build("return x - 4; }", "return x - 5; }\nint version3(int x) { return x; }").refusals,
      IsEmpty());
}

TEST_F(IdentityTest, WarnsOfAStaticThatChangesItsScope) {
  const std::string source =
      "int next(int x) { static int n; return n += x; }\nint user(void) { return next(1); }\n";
  MakeProgram({{"a.c", source}});
  const BuildReport report =
      Build({{"a.c", "static int n;\n" + Replaced(source, "static int n;", "")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(report.warnings,
              ElementsAre(HasSubstr("'n' is new and begins with its initial value; "
                                    "'next.n' is gone")));
}

TEST_F(IdentityTest, ADestructorThatOnlyCallsItsBasesIsReplacedAlone) {
  const std::string source =
      "extern int ended;\nstruct Base { ~Base(); int x; };\nstruct Derived : Base { ~Derived(); "
      "};\n"
      "Base::~Base() { ended += 1; }\nDerived::~Derived() {}\n";
  MakeProgram({{"a.cc", source}});
  const BuildReport report =
      Build({{"a.cc", Replaced(source, "~Derived() {}", "~Derived() { ended += 100; }")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report),
              UnorderedElementsAre(StartsWith("_ZN7DerivedD1Ev"), StartsWith("_ZN7DerivedD2Ev")));
}

// By name, of the only unit of a patch.
std::map<std::string, AddedType> TypesOf(const BuildReport& report) {
  std::map<std::string, AddedType> types;
  if (report.module.units.size() != 1) return types;
  for (const AddedType& type : report.module.units.front().types) types[type.name] = type;
  return types;
}

TEST_F(IdentityTest, WhatAPatchAddsIsDescribedForThoseBehindIt) {
  const std::string source =
      "enum kind { A }; struct old { int a; }; struct old first; int f() { return first.a; }";
  MakeProgram({{"f.cc", source}});
  const auto added = [&](const std::string& types, const std::string& variable,
                         BuildOptions options = {}) {
    return TypesOf(Build({{"f.cc", "enum kind { A, B }; struct old { int a; }; struct old first; " +
                                       types + " static " + variable +
                                       "; int f() { n = 0; T t; return first.a + t.x + t.g(); }"}},
                         options));
  };
  const std::string record = "struct T { int x = 1, y; virtual int g() { return 2; } };";
  const auto types = added(record, "char *n");
  ASSERT_EQ(types.size(), 4u);
  EXPECT_EQ(types.at("enumerator B of enum kind").refusal, "MEND-E0103");
  EXPECT_EQ(types.at("struct T").refusal, "MEND-E0101");
  EXPECT_EQ(types.at("the virtual functions of struct T").refusal, "MEND-E0102");
  EXPECT_EQ(types.at("variable _ZL1n").refusal, "");
  EXPECT_FALSE(types.at("struct T").is_allowed);

  const auto layout = [](const std::map<std::string, AddedType>& of, const std::string& name) {
    return of.at(name).layout;
  };
  for (const auto& [other, changed] : std::map<std::string, std::set<std::string>>{
           {"struct T { int x = 1, y; virtual int g() { return 3; } int h(); };", {}},
           {"struct T { int y, x = 1; virtual int g() { return 2; } };", {"struct T"}},
           {"struct T { int x = 1, y; virtual int g() { return 2; } virtual int h(); };",
            {"the virtual functions of struct T"}}}) {
    SCOPED_TRACE(other);
    const auto others = added(other, "char *n");
    ASSERT_EQ(others.size(), types.size());
    for (const auto& [name, type] : types) {
      EXPECT_EQ(layout(others, name) != type.layout, changed.contains(name)) << name;
    }
  }
  EXPECT_NE(layout(added(record, "short *n"), "variable _ZL1n"), layout(types, "variable _ZL1n"));
  EXPECT_EQ(layout(added(record, "void *n"), "variable _ZL1n"), layout(types, "variable _ZL1n"));
  BuildOptions options;
  options.allow_layout = {"T"};
  EXPECT_TRUE(added(record, "char *n", options).at("struct T").is_allowed);
}

// Code generation counts lambdas, and a function's classes of one name, as it comes upon them.
TEST_F(IdentityTest, LambdasThatLiveOnDoNotTakeEachOthersPlace) {
  const std::string keep =
      "int (*codes[4])(const void *, int);\n"
      "template <typename F> int call(const void *f, int x) {\n"
      "  return (*static_cast<const F *>(f))(x);\n"
      "}\n"
      "template <typename F> void keep(int i, F) { codes[i] = call<F>; }\n";
  const std::string outside =
      "static auto one = [](int x) { return x + 1; };\n"
      "static auto two = [](int x) { return x + 2; };\n";
  const std::string local =
      "auto one = [](int x) { return x + 1; }; auto two = [](int x) { return x + 2; }; ";
  const std::string uses = "keep(0, one); keep(1, two);";
  const std::string other_uses = "keep(1, two); keep(0, one);";
  const auto refusal = [&](const std::string& before, const std::string& after) {
    MakeProgram({{"l.cc", keep + before}});
    return OnlyRefusal(Build({{"l.cc", keep + after}}));
  };
  EXPECT_THAT(refusal("void set() { " + local + uses + " }\n",
                      "void set() { " + local + other_uses + " }\n"),
              HasSubstr("MEND-E0123: lambdas of 'set()' may have changed places"));
  const std::string set = "void set() { " + uses + " }\n";
  EXPECT_THAT(refusal(outside + set, outside + "void set() { " + other_uses + " }\n"),
              HasSubstr("MEND-E0123: lambdas outside of functions may have changed places"));
  EXPECT_THAT(refusal(outside + set, outside + "void early() { keep(2, two); }\n" + set),
              HasSubstr("MEND-E0123: lambdas outside of functions may have changed places"));
  const auto in_space = [](const std::string& code) { return "namespace n {\n" + code + "}\n"; };
  EXPECT_THAT(
      refusal(in_space(outside + set), in_space(outside + "void set() { " + other_uses + " }\n")),
      HasSubstr("MEND-E0123: lambdas outside of functions may have changed places"));
  // Classes of a static function, of which other units do not know.
  const auto classes = [](const std::string& first, const std::string& second) {
    return "static void set(bool b) {\n" + first + second +
           "}\nvoid sets() { set(codes[0]); set(!codes[1]); }\n";
  };
  const std::string c1 =
      "  if (b) { struct C { int operator()(int x) const { return x + 1; } }; keep(0, C()); }\n";
  const std::string c2 =
      "  if (!b) { struct C { int operator()(int x) const { return x + 2; } }; keep(1, C()); }\n";
  EXPECT_THAT(refusal(classes(c1, c2), classes(c2, c1)),
              HasSubstr("MEND-E0123: classes 'C' of 'set(bool)' may have changed places"));
  // What they do may change.
  MakeProgram({{"l.cc", keep + outside + set}});
  EXPECT_THAT(Build({{"l.cc", keep + Replaced(outside, "x + 2", "x + 3") + set}}).refusals,
              IsEmpty());
}

}  // namespace
}  // namespace mend::patchc
