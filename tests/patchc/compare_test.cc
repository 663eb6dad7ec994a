// From edited sources to what a patch contains, and what it may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
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
