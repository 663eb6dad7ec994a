// Changes that what runs already, or has run, does not see: of a loop that never ends, of a table
// that somebody registered, of what main executes once. They are warned of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using UnreachedChangesTest = CompareTest;

constexpr char kEndless[] =
    "extern int step(int);\n"
    "void serve(void) {\n"
    "  int turns = 0;\n"
    "  step(-1);\n"
    "  for (;;) {\n"
    "    turns += step(turns);\n"
    "  }\n"
    "}\n"
    "int drain(int n) {\n"
    "  int left = n;\n"
    "  while (step(left)) left -= 2;\n"
    "  return left;\n"
    "}\n"
    "int main(int argc, char **argv) { step(drain(argc)); serve(); }\n";

TEST_F(UnreachedChangesTest, AChangeInAnEndlessFunctionIsWarnedOfWithTheWayOut) {
  MakeProgram({{"main.c", kEndless}});
  const BuildReport report =
      Build({{"main.c", Replaced(kEndless, "turns += step", "turns -= step")}});
  EXPECT_THAT(report.warnings,
              Contains(AllOf(HasSubstr("'serve' loops and never returns"),
                             HasSubstr("the transition waits for that thread; in a program built "
                                       "with -fmend-loops, what is inside"))));
}

TEST_F(UnreachedChangesTest, AnEditInsideOfAnOutlinedLoopIsOfItsBodyAlone) {
  flag_ = "-fmend-loops=drain";
  MakeProgram({{"main.c", kEndless}});
  const BuildReport endless =
      Build({{"main.c", Replaced(kEndless, "turns += step", "int n = 3; turns -= n + step")}});
  EXPECT_THAT(Functions(endless), ElementsAre(StartsWith("serve.loop.0.")));
  EXPECT_THAT(endless.warnings, IsEmpty());
  EXPECT_EQ(endless.module.units.front().functions.front().detail, "main.c:6");
  const BuildReport ending = Build({{"main.c", Replaced(kEndless, "left -= 2", "left -= 3")}});
  EXPECT_THAT(Functions(ending), ElementsAre(StartsWith("drain.loop.0.")));
  EXPECT_THAT(ending.warnings, IsEmpty());
}

TEST_F(UnreachedChangesTest, AnOutlinedLoopWithOtherVariablesIsNoVersionOfTheOldOne) {
  flag_ = "-fmend-loops=drain";
  MakeProgram({{"main.c", kEndless}});
  const BuildReport endless = Build({{"main.c", Replaced(kEndless, "int turns", "long turns")}});
  EXPECT_THAT(Functions(endless), Contains("serve changed"));
  EXPECT_THAT(Functions(endless), Not(Contains(HasSubstr(".loop."))));
  EXPECT_THAT(endless.module.units.front().new_functions, ElementsAre(StartsWith("serve.loop.0.")));
  EXPECT_THAT(endless.warnings, Contains(HasSubstr("changes which variables its loop works on")));
  const BuildReport ending = Build({{"main.c", Replaced(kEndless, "int left", "long left")}});
  EXPECT_THAT(ending.warnings,
              Contains(HasSubstr("'drain' changed: the edit changes which variables")));
  // What is in front of the loop is not in a turn of it.
  const BuildReport before = Build({{"main.c", Replaced(kEndless, "step(-1)", "step(-2)")}});
  EXPECT_THAT(before.warnings, Contains(HasSubstr("a running loop takes only what is inside")));
}

// php's max_multipart_body_parts: the patch reads an option that nobody has registered.
TEST_F(UnreachedChangesTest, ATableThatAFunctionRegistersIsWarnedOf) {
  const std::string source =
      "struct option { const char *name; int (*set)(int); };\n"
      "extern int on(int);\n"
      "extern void add(const struct option *);\n"
      "extern void show(const char *const *);\n"
      "static const struct option options[] = {{\"a\", on}, {0, 0}};\n"
      "static const char *const texts[] = {\"one\", \"two\", 0};\n"
      "void start(void) { add(options); }\n"
      "void help(void) { show(texts); }\n";
  MakeProgram({{"main.c", source}});
  const BuildReport added = Build({{"main.c", Replaced(source, "{0, 0}", "{\"b\", on}, {0, 0}")}});
  EXPECT_THAT(Functions(added), ElementsAre("start reads-constant"));
  EXPECT_THAT(added.warnings,
              ElementsAre(HasSubstr("table 'options' changed, which 'start' reads: what has been "
                                    "registered of the old table stays")));
  const BuildReport reworded = Build({{"main.c", Replaced(source, "two", "too")}});
  EXPECT_THAT(Functions(reworded), ElementsAre("help reads-constant"));
  EXPECT_THAT(reworded.warnings, IsEmpty());
}

TEST_F(UnreachedChangesTest, WhatMainHandsOnByItsAddressRunsLaterToo) {
  const std::string main =
      "extern void on_signal(int, void (*)(int));\n"
      "extern int turn(void);\n"
      "void elsewhere(int);\n"
      "__attribute__((noinline)) void once(int n) { on_signal(n, 0); }\n"
      "static void here(int n) { on_signal(n + 1, 0); }\n"
      "int main(void) {\n"
      "  once(1);\n"
      "  on_signal(2, here);\n"
      "  on_signal(3, elsewhere);\n"
      "  return turn();\n"
      "}\n";
  const std::string other =
      "extern void on_signal(int, void (*)(int));\n"
      "void elsewhere(int n) { on_signal(n + 2, 0); }\n";
  MakeProgram({{"main.c", main}, {"other.c", other}});
  const BuildReport called = Build({{"main.c", Replaced(main, "(n, 0)", "(n + 9, 0)")}});
  EXPECT_THAT(called.warnings, ElementsAre(HasSubstr("'once' is executed once, by 'main'")));
  const BuildReport handed = Build({{"main.c", Replaced(main, "n + 1", "n + 8")},
                                    {"other.c", Replaced(other, "n + 2", "n + 7")}});
  EXPECT_THAT(Functions(handed), UnorderedElementsAre("here changed", "elsewhere changed"));
  EXPECT_THAT(handed.warnings, IsEmpty());
}

TEST_F(UnreachedChangesTest, WhatRunsOnTheWayThroughMainAloneIsWarnedOf) {
  // `early`, `first` and `last` run once, beside a jump through a table. `turn` is in main's loop,
  // `again` in that of a function that runs once; `both` is called from either, `back` calls itself
  // through another, and `known` may be called through the table.
  const std::string main =
      "#define NOINLINE __attribute__((noinline))\n"
      "extern int read_option(void), setting, work(int);\n"
      "void start(void), prepare(int);\n"
      "NOINLINE void both(int n) { setting += n; }\n"
      "NOINLINE static void turn(int n) { both(n + 1); work(n + 2); }\n"
      "NOINLINE static void first(int n) { setting = n + 3; both(n); }\n"
      "NOINLINE static void last(int n) { work(n + 4); }\n"
      "NOINLINE void known(int n) { work(n + 5); }\n"
      "void (*const table[])(int) = {known};\n"
      "NOINLINE static void early(int n) { work(n + 14); }\n"
      "int main(void) {\n"
      "  int option;\n"
      "  early(0);\n"
      "  while ((option = read_option()) != 0) {\n"
      "    switch (option) {\n"
      "      case 1: setting = 1; break;\n"
      "      case 2: setting = 5; work(3); break;\n"
      "      case 3: setting = 9; work(4); break;\n"
      "      case 4: setting = 3; work(5); break;\n"
      "      case 5: setting = 2; work(6); break;\n"
      "      default: work(option);\n"
      "    }\n"
      "  }\n"
      "  known(1);\n"
      "  if (__builtin_expect(setting == 2, 0)) first(setting);\n"
      "  start();\n"
      "  while (work(0)) turn(setting);\n"
      "  last(setting);\n"
      "  return setting;\n"
      "}\n";
  const std::string start =
      "#define NOINLINE __attribute__((noinline))\n"
      "extern int setting, work(int);\n"
      "void prepare(int n);\n"
      "NOINLINE static void again(int n) { work(n + 6); }\n"
      "NOINLINE static void back(int n) { if (work(n + 7)) prepare(n); }\n"
      "NOINLINE void prepare(int n) { if (n) back(n - 1); }\n"
      "NOINLINE static void deep(int n) { setting += n + 8; }\n"
      "NOINLINE static void middle(int n) { deep(n); work(9); }\n"
      "NOINLINE void start(void) { middle(1); prepare(2); do again(3); while (work(10)); }\n";
  MakeProgram({{"main.c", main}, {"start.c", start}});
  std::string edited_main = main;
  for (const char* const edit : {"n; }", "n + 1)", "n + 3;", "n + 4)", "n + 5)", "n + 14)"}) {
    edited_main = Replaced(edited_main, edit, absl::StrCat("11 * ", edit));
  }
  std::string edited_start = start;
  for (const char* const edit : {"n + 6)", "n + 7)", "n + 8;"}) {
    edited_start = Replaced(edited_start, edit, absl::StrCat("11 * ", edit));
  }
  const BuildReport report = Build({{"main.c", edited_main}, {"start.c", edited_start}});
  EXPECT_THAT(Functions(report),
              UnorderedElementsAre("both changed", "turn changed", "early changed", "first changed",
                                   "last changed", "known changed", "again changed", "back changed",
                                   "deep changed"));
  EXPECT_THAT(report.warnings,
              UnorderedElementsAre(
                  HasSubstr("main.c: 'early' is executed once, by 'main'"),
                  HasSubstr("main.c: 'first' is executed once, by 'main': if that has happened"),
                  HasSubstr("main.c: 'last' is executed once, by 'main'"),
                  HasSubstr("start.c: 'deep' is executed once, by 'main' -> 'start' -> 'middle'")));
}

}  // namespace
}  // namespace mend::patchc
