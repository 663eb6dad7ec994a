// Code is generated only for the functions that come out differently. Each edit here changes what
// the code of others depends on; Finish() sees to it that none of those is left out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using LeftOutTest = CompareTest;

TEST_F(LeftOutTest, GeneratesNoCodeForFunctionsThatDidNotChange) {
  MakeUsualProgram();
  const BuildReport report = Build({{"main.c", Replaced(kMain, "calls++", "calls += 3")}});
  EXPECT_THAT(Functions(report), ElementsAre("compute changed"));
  EXPECT_THAT(left_out_,
              UnorderedElementsAre("uses_twice", "checked", "name_of", "limit", "area", "says"));
}

// What a function's code depends on besides its own instructions. Each edit changes such a thing.
constexpr char kSubtle[] =
    "struct pair { int a; long b; };\n"
    "extern int outside(int) __attribute__((nothrow));\n"
    "extern int variable;\n"
    "static const int table[4] = {1, 2, 3, 4};\n"
    "static const int *const indirect[2] = {&table[0], &table[2]};\n"
    "static int state = 5;\n"
    "__attribute__((noinline)) static int leaf(int x) { return x * 3; }\n"
    "static int (*const functions[2])(int) = {leaf, outside};\n"
    "int user(int x) { return leaf(x) + table[x & 3] + *indirect[x & 1] + state++; }\n"
    "int other(int x) { return functions[x & 1](x) + variable; }\n"
    "long sum(struct pair *p, int n) { long s = 0; while (n--) s += p[n].b; return s; }\n"
    "double half(double x) { return x * 0.5; }\n"
    "void stop(int x) { if (x) outside(x); __builtin_trap(); }\n"
    "void *label(int x) { static void *const to[] = {&&a, &&b}; goto *to[x & 1]; a: return 0; "
    "b: return &state; }\n";

TEST_F(LeftOutTest, FindsWhatDependsOnSubtleChanges) {
  MakeProgram({{"subtle.c", kSubtle}});
  BuildEach(
      "subtle.c", kSubtle,
      {
          {"x * 3", "x * 5"},
          {"{1, 2, 3, 4}", "{1, 2, 3, 9}"},
          {"&table[2]", "&table[1]"},
          {"state = 5", "state = 6"},
          {"__attribute__((noinline)) static", "__attribute__((noinline, aligned(64))) static"},
          {"{leaf, outside}", "{outside, leaf}"},
          {"__attribute__((nothrow))", "__attribute__((noreturn))"},
          {"extern int variable", "extern volatile int variable"},
          {"extern int variable", "extern __attribute__((visibility(\"hidden\"))) int variable"},
          {"p[n].b", "p[n].a"},
          {"0.5", "0.25"},
          {"&&a, &&b", "&&b, &&a"},
          {"static int state = 5;\n",
           "static int state = 5;\nint fresh(int x) { return x + state; }\n"},
          {"int user(int x)", "__attribute__((cold)) int user(int x)"},
          {"int user(int x)", "__attribute__((optnone, noinline)) int user(int x)"},
      },
      [this](const BuildReport&) { EXPECT_FALSE(left_out_.empty()); });
}

TEST_F(LeftOutTest, FindsWhatDependsOnSubtleChangesInCxx) {
  const std::string source =
      "#include <map>\n#include <string>\n#include <stdexcept>\n"
      "struct Shape { virtual ~Shape() {} virtual int area() const { return 1; } };\n"
      "struct Square : Shape { int side; explicit Square(int s); int area() const override; };\n"
      "Square::Square(int s) : side(s) {}\n"
      "int Square::area() const { return side * side; }\n"
      "inline int shared(int x) { static int calls = 1; return calls += x; }\n"
      "std::map<std::string, int> registry;\n"
      "int look(const std::string &name) { return registry.at(name) + shared(1); }\n"
      "int guard(int x) { try { return look(std::to_string(x)); } catch (const std::out_of_range "
      "&) "
      "{ return -1; } }\n"
      "template <typename T> T twice(T x) { return x + x; }\n"
      "int use(int x) { return twice(x) + Square(x).area(); }\n";
  MakeProgram({{"shapes.cc", source}});
  BuildEach("shapes.cc", source,
            {
                {"side * side", "side * side + 1"},
                {"side(s)", "side(s + 1)"},
                {"calls = 1", "calls = 2"},
                {"x + x", "x + x + 1"},
                {"return -1", "return -2"},
                {"std::out_of_range &", "std::exception &"},
                {"shared(1)", "shared(2)"},
            },
            [this](const BuildReport&) { EXPECT_FALSE(left_out_.empty()); });
}

// Ways from an edit to the code of a function that is not edited: the functions are pruned before
// the optimiser, and Finish sees to it that none is that would have come out differently.
TEST_F(LeftOutTest, FindsWhatDependsOnAnEditFarAway) {
  const std::string source =
      "extern int outside(int);\n"
      "static int deepest(int x) { return x * 7; }\n"
      "static int deeper(int x) { return deepest(x) + 1; }\n"
      "static int deep(int x) { return deeper(x) + 1; }\n"
      "int surface(int x) { return deep(x) + 1; }\n"
      "int apart(int x) { return outside(x) + 1; }\n"
      "extern inline __attribute__((gnu_inline)) int elsewhere(int x) { return x + 11; }\n"
      "int calls_elsewhere(int x) { return elsewhere(x); }\n"
      "static int chosen(int x) { return x + 13; }\n"
      "static int (*const choices[])(int) = {chosen, deep};\n"
      "int choose(int x) { return choices[0](x); }\n"
      "int named(int x) { return x + 17; }\n"
      "extern int other_name(int x) __attribute__((alias(\"named\")));\n"
      "int calls_named(int x) { return other_name(x) + outside(x); }\n"
      "static int even(int x);\n"
      "static int odd(int x) { return x == 0 ? 0 : even(x - 1); }\n"
      "static int even(int x) { return x == 0 ? 19 : odd(x - 1); }\n"
      "int parity(int x) { return even(x); }\n"
      "static __attribute__((always_inline)) inline int must(int x) { return x + 23; }\n"
      "int musts(int x) { return must(x) + outside(x); }\n";
  MakeProgram({{"far.c", source}});
  BuildEach("far.c", source,
            {
                {"x * 7", "x * 5"},
                {"x + 11", "x + 12"},
                {"x + 13", "x + 14"},
                {"x + 17", "x + 18"},
                {"x == 0 ? 19", "x == 0 ? 20"},
                {"x + 23", "x + 24"},
                {"outside(x) + 1", "outside(x) + 2"},
                {"return elsewhere(x)", "return elsewhere(x) + deep(x)"},
            },
            [this](const BuildReport& report) {
              EXPECT_FALSE(report.no_change);
              EXPECT_FALSE(left_out_.empty());
            });
}

// The program's code of the callers has no copy of it, so they are right as they are. Optimising
// them would have been most of the work: of a unit whose functions call one another in circles, all
// of it.
TEST_F(LeftOutTest, AFunctionThatGetsSmallEnoughToInlineTakesNoCallersAlong) {
  std::string large = "static int large(int x) {\n";
  for (int i = 0; i < 60; ++i) absl::StrAppend(&large, "  x = outside(x + ", i, ") * 3;\n");
  const std::string source = absl::StrCat("extern int outside(int);\n", large,
                                          "  return x;\n}\n"
                                          "int first(int x) { return large(x) + 1; }\n"
                                          "int second(int x) { return first(x) + large(x); }\n");
  MakeProgram({{"large.c", source}});
  SourceEdits edits(bases_);
  Write("edited/large.c", Replaced(source, "static int large(int x) {\n",
                                   "static int large(int x) {\n  return x;\n"));
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/large.c").ok());
  EXPECT_THAT(Functions(BuildWith(edits, {}, Way::kUsual)), ElementsAre("large changed"));
  EXPECT_THAT(left_out_, UnorderedElementsAre("first", "second"));
}

// The optimiser makes functions of a coroutine that no source has.
TEST_F(LeftOutTest, KeepsCoroutinesWhole) {
  const std::string source =
      "#include <coroutine>\n"
      "struct Task { struct promise_type { int value = 0;\n"
      "  Task get_return_object() { return "
      "{std::coroutine_handle<promise_type>::from_promise(*this)}; }\n"
      "  std::suspend_always initial_suspend() noexcept { return {}; }\n"
      "  std::suspend_always final_suspend() noexcept { return {}; }\n"
      "  void return_value(int v) { value = v; } void unhandled_exception() {} };\n"
      "  std::coroutine_handle<promise_type> handle; };\n"
      "int unrelated(int x) { return x + 3; }\n"
      "Task work(int x) { co_return x + 5; }\n";
  MakeProgram({{"work.cc", source}});
  BuildEach("work.cc", source, {{"x + 3", "x + 4"}, {"x + 5", "x + 6"}},
            [](const BuildReport& report) { EXPECT_FALSE(report.no_change); });
}

}  // namespace
}  // namespace mend::patchc
