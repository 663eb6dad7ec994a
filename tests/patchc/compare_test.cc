// From edited sources to what a patch contains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

TEST_F(CompareTest, UnchangedSourceIsNoChange) {
  MakeUsualProgram();
  const BuildReport report = Build({{"main.c", kMain}, {"shape.h", kHeader}});
  EXPECT_TRUE(report.no_change);
  EXPECT_EQ(report.units_compiled, 0u);
}

TEST_F(CompareTest, CommentInAHeaderIsNoChangeInAnyUnit) {
  MakeUsualProgram();
  const BuildReport report = Build({{"shape.h", absl::StrCat("/* a\n comment */\n", kHeader)}});
  EXPECT_TRUE(report.no_change);
  EXPECT_EQ(report.units_compiled, 2u);
  EXPECT_THAT(report.refusals, IsEmpty());
}

TEST_F(CompareTest, InsertedLinesDoNotChangeAssertionsBehindThem) {
  MakeUsualProgram();
  const BuildReport report = Build(
      {{"main.c", Replaced(kMain, "  calls++;\n", "  /* one */\n  /* two */\n  calls += 2;\n")}});
  EXPECT_THAT(Functions(report), ElementsAre("compute changed"));
}

TEST_F(CompareTest, TheDateIsTheOneOfTheProgram) {
  const std::string text =
      "const char* built(void) { return __DATE__ \" \" __TIME__; }\n"
      "int compute(int x) { return x; }\n"
      "int main(void) { return built() == 0 ? compute(1) : 0; }\n";
  setenv("SOURCE_DATE_EPOCH", "1000000000", 1);
  MakeProgram({{"main.c", text}});
  unsetenv("SOURCE_DATE_EPOCH");
  const BuildReport report = Build({{"main.c", Replaced(text, "return x;", "return x + 1;")}});
  EXPECT_THAT(Functions(report), Contains("compute changed"));
  EXPECT_THAT(Functions(report), Not(Contains(HasSubstr("built"))));
}

TEST_F(CompareTest, FindsTheChangedFunctionAndItsInliners) {
  MakeUsualProgram();
  const BuildReport report = Build({{"main.c", Replaced(kMain, "x * 2 + 1", "x * 3 + 1")}});
  EXPECT_THAT(Functions(report), UnorderedElementsAre("compute inlines", "uses_twice inlines"));
  EXPECT_EQ(report.units.front().functions.front().detail, "twice");
}

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

TEST_F(CompareTest, AChangeInAnEndlessFunctionIsWarnedOfWithTheWayOut) {
  MakeProgram({{"main.c", kEndless}});
  const BuildReport report =
      Build({{"main.c", Replaced(kEndless, "turns += step", "turns -= step")}});
  EXPECT_THAT(report.warnings,
              Contains(AllOf(HasSubstr("'serve' loops and never returns"),
                             HasSubstr("the transition waits for that thread; in a program built "
                                       "with -fmend-loops, what is inside"))));
}

TEST_F(CompareTest, AnEditInsideOfAnOutlinedLoopIsOfItsBodyAlone) {
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

TEST_F(CompareTest, AnOutlinedLoopWithOtherVariablesIsNoVersionOfTheOldOne) {
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
TEST_F(CompareTest, ATableThatAFunctionRegistersIsWarnedOf) {
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

TEST_F(CompareTest, WhatMainHandsOnByItsAddressRunsLaterToo) {
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

TEST_F(CompareTest, WhatRunsOnTheWayThroughMainAloneIsWarnedOf) {
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

TEST_F(CompareTest, HeaderEditReachesAllUnits) {
  MakeUsualProgram();
  const BuildReport report = Build({{"shape.h", Replaced(kHeader, "v * v + 7", "v * v + 9")}});
  EXPECT_THAT(Functions(report), UnorderedElementsAre("area inlines", "norm inlines"));
}

TEST_F(CompareTest, StaticsAreReferencedNotCopied) {
  MakeUsualProgram();
  const BuildReport report = Build({{"main.c", Replaced(kMain, "calls++", "calls += 3")}});
  ASSERT_EQ(report.module.units.size(), 1u);
  const PatchUnit& unit = report.module.units.front();
  EXPECT_THAT(unit.new_data, IsEmpty());
  EXPECT_THAT(unit.references, UnorderedElementsAre(Field(&DataReference::name, "counter"),
                                                    Field(&DataReference::name, "compute.calls")));
  for (const DataReference& reference : unit.references) {
    EXPECT_EQ(reference.size, 4u);
    EXPECT_FALSE(reference.base_fingerprint.empty());
  }
}

TEST_F(CompareTest, NewFunctionsAndDataAreAdded) {
  MakeUsualProgram();
  const std::string added =
      Replaced(kMain, "__attribute__((noinline)) int compute",
               "static int total = 4;\n"
               "__attribute__((noinline)) static int fresh(int x) {\n"
               "  static int n = 2;\n  n += x;\n  total += n;\n  return puts(\"new\");\n}\n"
               "__attribute__((noinline)) int compute");
  // Nothing uses it yet, so the compiler drops it again.
  EXPECT_TRUE(Build({{"main.c", added}}).refusals.empty());
  const BuildReport used = Build({{"main.c", Replaced(added, "calls++;", "calls += fresh(x);")}});
  EXPECT_THAT(Functions(used), ElementsAre("compute changed"));
  ASSERT_EQ(used.module.units.size(), 1u);
  EXPECT_THAT(used.module.units.front().new_functions, ElementsAre("fresh"));
  EXPECT_THAT(used.module.units.front().new_data, UnorderedElementsAre("total", "fresh.n"));
}

TEST_F(CompareTest, NewGlobalTakesAlongWhatItRefersTo) {
  MakeUsualProgram();
  // As the modules of a server are declared: a descriptor that another unit uses, and tables that
  // only the descriptor leads to.
  const std::string descriptor =
      "struct command { const char *name; int (*run)(int); };\n"
      "static int run_first(int x) { return x + setting; }\n"
      "static struct command commands[] = {{\"first\", run_first}, {0, 0}};\n"
      "struct module { struct command *commands; int *state; };\n"
      "struct module added = {commands, &counter};\n";
  const BuildReport report =
      Build({{"main.c", kMain + descriptor},
             {"shape.c", Replaced(kShape, "int helper(int a) { return a ^ 5; }",
                                  "extern void *added[2];\n"
                                  "int helper(int a) { return a ^ (added[0] != 0); }")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.module.units.size(), 2u);
  const PatchUnit& unit = report.module.units.front();
  EXPECT_THAT(unit.new_functions, ElementsAre("run_first"));
  EXPECT_THAT(unit.new_data, UnorderedElementsAre("added", "commands"));
  std::vector<std::string> references;
  for (const DataReference& reference : unit.references) references.push_back(reference.name);
  EXPECT_THAT(references, UnorderedElementsAre("counter", "setting"));
}

TEST_F(CompareTest, AlignmentThatOnlyLeftOutCodeRaisedIsNoChange) {
  // The optimiser aligns the record for the one store that reset() becomes.
  const std::string source =
      "static struct { char *a, *b, *c; } state;\n"
      "void reset(void) { state.a = state.b = 0; }\n"
      "char **last(void) { return &state.c; }\n"
      "int other(int x) { return x * 3 + 1; }\n";
  MakeProgram({{"state.c", source}});
  const BuildReport report =
      Build({{"state.c", Replaced(Replaced(source, "x * 3", "x * 5"), "&state.c", "&state.b")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), UnorderedElementsAre("last changed", "other changed"));
}

TEST_F(CompareTest, ChangedConstantTakesItsReadersAlong) {
  MakeUsualProgram();
  const BuildReport report = Build({{"main.c", Replaced(kMain, "\"two\"", "\"zwei\"")}});
  EXPECT_THAT(Functions(report), ElementsAre("name_of reads-constant"));
  EXPECT_THAT(report.module.units.front().new_data, ElementsAre("names"));
}

TEST_F(CompareTest, TableOfLabelsGoesWithItsFunction) {
  const std::string source =
      "extern int ext(int);\n"
      "int run(const unsigned char *code) {\n"
      "  static const void *const labels[] = {&&one, &&two, &&end};\n"
      "  int sum = 0;\n  goto *labels[*code];\n"
      "one: sum += ext(1); goto *labels[*++code];\n"
      "two: sum -= ext(20); goto *labels[*++code];\n"
      "end: return sum;\n}\n";
  MakeProgram({{"run.c", source}});
  const BuildReport report = Build({{"run.c", Replaced(source, "ext(20)", "ext(21)")}});
  EXPECT_THAT(Functions(report), ElementsAre("run changed"));
  EXPECT_THAT(report.module.units.front().new_data, ElementsAre("run.labels"));
}

TEST_F(CompareTest, InlineFunctionOfTwoUnitsIsReplacedOnce) {
  const std::string header =
      "int ext(int);\ninline __attribute__((noinline)) int shared(int x) { return ext(x) + 1; }\n";
  MakeProgram({{"s.h", header},
               {"a.cc", "#include \"s.h\"\nint a(int x) { return shared(x); }\n"},
               {"b.cc", "#include \"s.h\"\nint b(int x) { return shared(x) * 2; }\n"}});
  const BuildReport report = Build({{"s.h", Replaced(header, "+ 1", "+ 2")}});
  EXPECT_THAT(Functions(report), ElementsAre("_Z6sharedi changed"));
  EXPECT_THAT(report.module.units.front().unit, StartsWith("a.cc|a.cc.o|"));
}

TEST_F(CompareTest, ModuleSurvivesWritingAndReading) {
  MakeUsualProgram();
  BuildReport report = Build({{"main.c", Replaced(kMain, "calls++", "calls += 3")}});
  const std::string file = SerializePatchModule(report.module);
  const absl::StatusOr<PatchModule> read = ParsePatchModule(file);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, "test");
  EXPECT_EQ(read->units.front().functions.front().name, "compute");
}

TEST_F(CompareTest, RefusesChangedVariables) {
  MakeUsualProgram();
  EXPECT_THAT(OnlyRefusal(Build({{"main.c", Replaced(kMain, "setting = 3", "setting = 4")}})),
              AllOf(HasSubstr("MEND-E0111"), HasSubstr("'setting'")));
  EXPECT_THAT(OnlyRefusal(Build(
                  {{"main.c", Replaced(kMain, "static int counter", "static long counter")}})),
              AllOf(HasSubstr("MEND-E0110"), HasSubstr("had 4 bytes and would have 8")));
}

TEST_F(CompareTest, RefusesAConstantThatAnotherUnitReads) {
  MakeUsualProgram();
  EXPECT_THAT(OnlyRefusal(Build({{"shape.c", Replaced(kShape, "3, 4", "3, 5")}})),
              AllOf(HasSubstr("MEND-E0112"), HasSubstr("'limits' is read by main.c")));
}

TEST_F(CompareTest, NewThreadLocalsComeAlong) {
  MakeUsualProgram();
  const auto report =
      Build({{"main.c", Replaced(kMain, "calls++;", "static _Thread_local int t; calls += ++t;")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.units.size(), 1u);
  EXPECT_THAT(report.units[0].new_data, ElementsAre("__mend_tls.compute.t"));
}

TEST_F(CompareTest, RefusesToRemoveWhatAnotherUnitCalls) {
  MakeProgram({{"a.c", "int f(int);\nint a(void) { return f(1); }\n"},
               {"b.c", "int f(int x) { return x; }\nint g(int x) { return x + 1; }\n"}});
  EXPECT_THAT(OnlyRefusal(Build({{"b.c", "int g(int x) { return x + 1; }\n"}})),
              AllOf(HasSubstr("MEND-E0120"), HasSubstr("a.c refers to it")));
}

TEST_F(CompareTest, RefusesANewGlobalThatExists) {
  MakeUsualProgram();
  EXPECT_THAT(
      OnlyRefusal(Build({{"main.c", absl::StrCat(kMain, "int helper(int x) { return x; }\n")}})),
      AllOf(HasSubstr("MEND-E0122"), HasSubstr("'helper' is defined by shape.c")));
}

TEST_F(CompareTest, RefusesAVariableThatNeedsAConstructor) {
  const std::string source = "int ext(int);\nint g = ext(1);\nint f() { return g; }\n";
  MakeProgram({{"g.cc", source}});
  const BuildReport report = Build(
      {{"g.cc", "int ext(int);\nint g = ext(1);\nint h = ext(2);\nint f() { return g + h; }\n"}});
  EXPECT_THAT(OnlyRefusal(report), AllOf(HasSubstr("MEND-E0115"), HasSubstr("'h'")));
}

TEST_F(CompareTest, NamesAThreadLocalThatNeedsAConstructorAsItsSourceDoes) {
  const std::string tracer = "struct Tracer { Tracer(); ~Tracer(); int n; };\n";
  MakeProgram({{"g.cc", absl::StrCat(tracer, "int f() { return 1; }\n")}});
  const BuildReport report = Build({{"g.cc", absl::StrCat(tracer,
                                                          "static thread_local Tracer fresh;\n"
                                                          "int f() { return fresh.n; }\n")}});
  EXPECT_THAT(OnlyRefusal(report), AllOf(HasSubstr("MEND-E0115"), HasSubstr("'fresh'")));
}

TEST_F(CompareTest, RefusesAmbiguousStatics) {
  const std::string source =
      "int f(int a) { if (a) { static int n; return ++n; } else { static int n; return --n; } }\n";
  MakeProgram({{"f.c", source}});
  EXPECT_TRUE(Build({{"f.c", absl::StrCat("//\n", source)}}).no_change);
  const BuildReport report =
      Build({{"f.c", Replaced(source, "if (a) {", "{ static int n; n++; } if (a) {")}});
  ASSERT_FALSE(report.refusals.empty());
  EXPECT_THAT(report.refusals, Contains(Field(&Refusal::code, RefusalCode::kStaticAmbiguous)));
}

TEST_F(CompareTest, AModuleFollowsThoseWhoseNewFunctionsItCalls) {
  MakeUsualProgram();
  const std::map<std::string, std::string> sources = {
      {"first.c", "int first(int x) { return x + 1; }\n"},
      {"second.c", "int second(int x) { return x + 2; }\n"},
      {"third.c", "int third(int x) { return x + 3; }\n"}};
  for (const auto& [name, text] : sources)
    MakeProgram({{name, text}}, name.substr(0, name.find('.')));
  const auto order = [this](const std::map<std::string, std::string>& edited) {
    std::vector<std::string> modules;
    for (const PatchUnit& unit : Build(edited).module.units) modules.push_back(unit.module);
    return modules;
  };
  // With the edit of the program in front of all.
  const std::string changed = Replaced(kShape, "a ^ 5", "a ^ 6");
  EXPECT_THAT(order({{"shape.c", changed},
                     {"first.c", "int added(int);\nint first(int x) { return added(x); }\n"},
                     {"second.c",
                      "extern int level;\nint added(int x) { return x + level; }\n"
                      "int second(int x) { return added(x); }\n"},
                     {"third.c", "int level = 4;\nint third(int x) { return x + level; }\n"}}),
              ElementsAre("", "third", "second", "first"));
  // No order serves those that need one another; none is lost.
  EXPECT_THAT(order({{"first.c",
                      "int two(int);\nint one(int x) { return x; }\n"
                      "int first(int x) { return two(x); }\n"},
                     {"second.c",
                      "int one(int);\nint two(int x) { return x; }\n"
                      "int second(int x) { return one(x); }\n"},
                     {"third.c", "int third(int x) { return x + 4; }\n"}}),
              UnorderedElementsAre("first", "second", "third"));
}

TEST_F(CompareTest, HoldsFunctionsOfModulesByTheirNames) {
  MakeUsualProgram();
  MakeProgram({{"plugin.c", "int entry(int a) { return a; }\n"}}, "plugin");
  for (const auto& [hold, is_known] : {std::pair("plugin:entry", true), std::pair("entry", false),
                                       std::pair("other:entry", false), std::pair("norm", true)}) {
    SourceEdits edits(bases_);
    BuildOptions options;
    options.hold = {hold};
    PatchBuilder builder(bases_, edits, [](const CompileRequest&) { return CompileResult(); });
    EXPECT_EQ(builder.Build(options).ok(), is_known) << hold;
  }
}

TEST_F(CompareTest, RefusesToHoldWhatDoesNotExist) {
  MakeUsualProgram();
  SourceEdits edits(bases_);
  BuildOptions options;
  options.hold = {"nothing_of_that_name"};
  PatchBuilder builder(bases_, edits, [](const CompileRequest&) { return CompileResult(); });
  EXPECT_THAT(std::string(Std(builder.Build(options).status().message())), HasSubstr("MEND-E0124"));
}

// Units that include one header, the later the smaller.
std::map<std::string, std::string> UnitsOfOneHeader(const std::string& header, int count) {
  std::map<std::string, std::string> files = {{"wide.h", header}};
  for (int i = 0; i < count; ++i) {
    std::string text = "#include \"wide.h\"\n";
    for (int k = i; k < count; ++k) {
      absl::StrAppend(&text, "int use_", i, "_", k, "(struct wide *w) { return step(w) + w->a * ",
                      k, "; }\n");
    }
    files[absl::StrCat("unit", i, ".c")] = text;
  }
  return files;
}

constexpr char kWideHeader[] =
    "struct wide { int a; int b; };\n"
    "static inline int step(struct wide *w) { return ++w->b + 3; }\n";

TEST_F(CompareTest, ALayoutIsRefusedByTheFirstUnitThatHasIt) {
  MakeProgram(UnitsOfOneHeader(kWideHeader, 9));
  const std::map<std::string, std::string> edited = {
      {"wide.h", Replaced(kWideHeader, "int a; int b;", "int b; int a;")}};
  const BuildReport report = Build(edited);
  EXPECT_THAT(OnlyRefusal(report), HasSubstr("struct wide"));
  EXPECT_EQ(report.units_compiled, 1u);
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("8 of 9 units")));

  BuildOptions options;
  options.keep_going = true;
  const BuildReport all = Build(edited, options);
  EXPECT_EQ(all.units_compiled, 9u);
  EXPECT_EQ(OnlyRefusal(all), OnlyRefusal(report));
  EXPECT_THAT(all.notes, IsEmpty());

  // What is allowed refuses nothing: every unit is compiled, and in the patch.
  options = BuildOptions();
  options.allow_layout = {"wide"};
  const BuildReport allowed = Build(edited, options);
  EXPECT_THAT(allowed.refusals, IsEmpty());
  EXPECT_EQ(allowed.units_compiled, 9u);
  EXPECT_EQ(allowed.module.units.size(), 9u);
}

TEST_F(CompareTest, TheUnitThatIsCompiledSoonestGoesAhead) {
  MakeProgram(UnitsOfOneHeader(kWideHeader, 9));
  SourceEdits edits(bases_);
  Write("edited/wide.h", Replaced(kWideHeader, "int a; int b;", "int b; int a;"));
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/wide.h").ok());
  for (const size_t jobs : {size_t{1}, size_t{3}}) {
    std::vector<std::string> compiled;
    ClangRunner runner;
    PatchBuilder builder(bases_, edits, [&](const CompileRequest& request) {
      if (request.records.empty()) compiled.push_back(request.output);
      return runner.Compile(request);
    });
    BuildOptions options;
    options.jobs = jobs;
    ASSERT_TRUE(builder.Build(options).ok());
    EXPECT_THAT(compiled, ElementsAre("unit8.c.o"));
  }
}

TEST_F(CompareTest, UnitsSideBySideGiveTheSamePatch) {
  MakeProgram(UnitsOfOneHeader(kWideHeader, 9));
  // Finish() builds both ways and compares.
  const BuildReport report = Build({{"wide.h", Replaced(kWideHeader, "++w->b + 3", "++w->b + 4")}});
  EXPECT_EQ(report.units_compiled, 9u);
  std::vector<std::string> units;
  for (const PatchUnit& unit : report.module.units) {
    units.push_back(unit.unit.substr(0, unit.unit.find('|')));
  }
  EXPECT_THAT(units, ElementsAre("unit0.c", "unit1.c", "unit2.c", "unit3.c", "unit4.c", "unit5.c",
                                 "unit6.c", "unit7.c", "unit8.c"));
}

TEST_F(CompareTest, AnErrorInAHeaderIsShownOnce) {
  MakeProgram(UnitsOfOneHeader(kWideHeader, 9));
  const BuildReport report = Build({{"wide.h", Replaced(kWideHeader, "w->b + 3", "w->c + 3")}});
  EXPECT_THAT(OnlyRefusal(report), HasSubstr("MEND-E0001"));
  EXPECT_EQ(report.units_compiled, 1u);
}

TEST_F(CompareTest, RefusesAnotherCompilersProgram) {
  MakeUsualProgram();
  SourceEdits edits(bases_);
  Write("edited/main.c", Replaced(kMain, "calls++", "calls += 2"));
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/main.c").ok());
  ClangRunner runner;
  PatchBuilder builder(bases_, edits, [&](const CompileRequest& request) {
    CompileResult result = runner.Compile(request);
    result.description.compiler = "another one";
    return result;
  });
  BuildOptions options;
  const absl::StatusOr<BuildReport> report = builder.Build(options);
  ASSERT_TRUE(report.ok());
  EXPECT_THAT(OnlyRefusal(*report), HasSubstr("MEND-E0002"));
}

TEST_F(CompareTest, GeneratesNoCodeForFunctionsThatDidNotChange) {
  MakeUsualProgram();
  const BuildReport report = Build({{"main.c", Replaced(kMain, "calls++", "calls += 3")}});
  EXPECT_THAT(Functions(report), ElementsAre("compute changed"));
  EXPECT_THAT(left_out_,
              UnorderedElementsAre("uses_twice", "checked", "name_of", "limit", "area", "says"));
}

// What a function's code depends on besides its own instructions. Each edit changes such a thing;
// Finish sees to it that the functions that follow from it are generated.
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

TEST_F(CompareTest, FindsWhatDependsOnSubtleChanges) {
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

TEST_F(CompareTest, FindsWhatDependsOnSubtleChangesInCxx) {
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
TEST_F(CompareTest, FindsWhatDependsOnAnEditFarAway) {
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
TEST_F(CompareTest, AFunctionThatGetsSmallEnoughToInlineTakesNoCallersAlong) {
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
TEST_F(CompareTest, KeepsCoroutinesWhole) {
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

TEST(RefusalTest, EveryCodeIsExplainedAndFound) {
  for (const RefusalText& text : AllRefusals()) {
    EXPECT_EQ(FindRefusal(RefusalId(text.code)), &text);
    EXPECT_NE(std::string(text.explanation), "");
    EXPECT_NE(std::string(text.way_out), "");
  }
  EXPECT_EQ(FindRefusal("MEND-E9999"), nullptr);
  EXPECT_EQ(RefusalId(RefusalCode::kRecordLayout), "MEND-E0101");
}

}  // namespace
}  // namespace mend::patchc
