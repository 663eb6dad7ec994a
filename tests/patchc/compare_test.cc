// From edited sources to what a patch contains, with the real compiler: programs of one or two
// units in a folder of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "patchc/patch_builder.h"
#include "patchc/text.h"

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

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

constexpr char kHeader[] =
    "struct point { int x; int y; };\n"
    "enum color { RED, GREEN };\n"
    "static inline int square(int v) { return v * v + 7; }\n"
    "int norm(const struct point *p);\n"
    "extern const int limits[4];\n";

constexpr char kMain[] =
    "#include \"shape.h\"\n"
    "extern int puts(const char *);\n"
    "extern void fail(const char *, int);\n"
    "#define CHECK(x) ((x) ? (void)0 : fail(#x, __LINE__))\n"
    "static int counter;\n"
    "int setting = 3;\n"
    "static const char *const names[] = {\"zero\", \"one\", \"two\"};\n"
    "static int twice(int x) { return x * 2 + 1; }\n"
    "__attribute__((noinline)) int compute(int x) {\n"
    "  static int calls;\n"
    "  calls++;\n"
    "  counter += x;\n"
    "  return twice(x) + calls;\n"
    "}\n"
    "int uses_twice(int x) { return twice(x) - 5; }\n"
    "int checked(int x) { CHECK(x > 0); return x + setting; }\n"
    "const char *name_of(int i) { return names[i % 3]; }\n"
    "int limit(int i) { return limits[i]; }\n"
    "int area(int v) { return square(v) / 2; }\n"
    "int says(void) { return puts(\"hello\"); }\n";

constexpr char kShape[] =
    "#include \"shape.h\"\n"
    "const int limits[4] = {1, 2, 3, 4};\n"
    "int norm(const struct point *p) { return square(p->x) + square(p->y); }\n"
    "int helper(int a) { return a ^ 5; }\n";

class CompareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "mend-compare-XXXXXX").string();
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    std::filesystem::create_directory(folder_ + "/edited");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }

  // Compiles the units into the program that the patches are for, or into a guest module.
  void MakeProgram(const std::map<std::string, std::string>& files,
                   const std::string& module = "") {
    std::vector<std::pair<std::string, std::string_view>> members;
    std::vector<std::string>& objects = objects_.emplace_back();
    objects.reserve(files.size());
    for (const auto& [name, text] : files) Write(name, text);
    for (const auto& [name, text] : files) {
      if (name.ends_with(".h")) continue;
      CompileRequest request;
      request.directory = folder_;
      request.language = name.ends_with(".cc") ? "c++" : "c";
      request.arguments = {"-O2", "-c", name};
      if (!loops_flag_.empty()) request.arguments.push_back(loops_flag_);
      if (request.language == "c++") request.arguments.push_back("-std=c++20");
      request.output = name + ".o";
      CompileResult result = ClangRunner().Compile(request);
      ASSERT_TRUE(result.ok) << result.diagnostics;
      objects.push_back(std::move(result.object));
    }
    size_t next = 0;
    for (const auto& [name, text] : files) {
      if (!name.ends_with(".h")) members.emplace_back(name + ".o", objects[next++]);
    }
    absl::StatusOr<Base> base = Base::FromObjects(members, module);
    ASSERT_TRUE(base.ok()) << base.status();
    bases_.push_back(*std::move(base));
  }
  void MakeUsualProgram() {
    MakeProgram({{"shape.h", kHeader}, {"main.c", kMain}, {"shape.c", kShape}});
  }

  BuildReport Build(const std::map<std::string, std::string>& edited, BuildOptions options = {}) {
    SourceEdits edits(bases_);
    for (const auto& [name, text] : edited) {
      Write("edited/" + name, text);
      const absl::Status added = edits.AddFile(folder_ + "/edited/" + name);
      EXPECT_TRUE(added.ok()) << added;
    }
    return Finish(edits, options);
  }

  // Builds it four times: as usual, with code only for functions whose IR changed; with code for
  // all of them; from the preambles of the units; and with the units side by side. They must agree
  // in everything but the bytes of what was left out.
  BuildReport Finish(SourceEdits& edits, BuildOptions options = {}) {
    options.name = "test";
    const BuildReport complete = BuildWith(edits, options, Way::kGenerateAll);
    const BuildReport warm = BuildWith(edits, options, Way::kFromPreambles);
    BuildReport report = BuildWith(edits, options, Way::kUsual);
    EXPECT_EQ(Contents(report), Contents(complete));
    EXPECT_EQ(Contents(report), Contents(warm));
    const BuildReport side_by_side = BuildWith(edits, options, Way::kSideBySide);
    EXPECT_EQ(Contents(report), Contents(side_by_side));
    EXPECT_EQ(report.units_compiled, side_by_side.units_compiled);
    return report;
  }

  enum class Way { kUsual, kGenerateAll, kFromPreambles, kSideBySide };

  BuildReport BuildWith(SourceEdits& edits, BuildOptions options, Way way) {
    ClangRunner runner(/*embed_sources=*/false);
    if (way == Way::kSideBySide) options.jobs = 4;
    PatchBuilder builder(bases_, edits, [&](CompileRequest request) {
      if (way == Way::kGenerateAll) request.known_functions.clear();
      if (way == Way::kFromPreambles && request.unedited) runner.KeepPreamble(request);
      CompileResult result = runner.Compile(request);
      if (way != Way::kSideBySide) left_out_ = result.left_out;
      return result;
    });
    absl::StatusOr<BuildReport> report = builder.Build(options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : BuildReport();
  }

  // Builds a patch for each edit of the program's only file, and has `check` look at it.
  template <typename Check>
  void BuildEach(const std::string& file, const std::string& source,
                 std::initializer_list<std::pair<std::string_view, std::string_view>> edits,
                 Check check) {
    for (const auto& [from, to] : edits) {
      SCOPED_TRACE(std::string(to));
      check(Build({{file, Replaced(source, from, to)}}));
    }
  }

  // All that a report says of a patch, the new functions' fingerprints included.
  static std::string Contents(const BuildReport& report) {
    std::string text = absl::StrCat("no change: ", report.no_change, "\n");
    for (const PatchUnit& unit : report.module.units) {
      const absl::StatusOr<ObjectSummary> object = SummarizeObject(unit.object);
      EXPECT_TRUE(object.ok()) << object.status();
      std::map<std::string, std::string> fingerprints;
      for (const FunctionDescription& function : object->functions) {
        fingerprints[function.name] = function.fingerprint;
      }
      absl::StrAppend(&text, "unit ", unit.unit, "\n");
      for (const PatchedFunction& function : unit.functions) {
        absl::StrAppend(&text, "  ", function.name, " ", ChangeReasonName(function.reason), " ",
                        function.detail, " ", function.base_fingerprint, " becomes ",
                        fingerprints[function.name], "\n");
      }
      for (const std::string& name : unit.new_functions) {
        absl::StrAppend(&text, "  new ", name, " ", fingerprints[name], "\n");
      }
      for (const std::string& name : unit.new_data) absl::StrAppend(&text, "  data ", name, "\n");
      for (const DataReference& reference : unit.references) {
        absl::StrAppend(&text, "  refers ", reference.name, " ", reference.size, " ",
                        reference.base_fingerprint, "\n");
      }
    }
    for (const Refusal& refusal : report.refusals) {
      absl::StrAppend(&text, RefusalReport(refusal), "\n");
    }
    for (const std::string& warning : report.warnings) absl::StrAppend(&text, warning, "\n");
    for (const std::string& note : report.notes) absl::StrAppend(&text, note, "\n");
    return text;
  }

  static std::vector<std::string> Functions(const BuildReport& report) {
    std::vector<std::string> names;
    for (const PatchUnit& unit : report.module.units) {
      for (const PatchedFunction& function : unit.functions) {
        names.push_back(absl::StrCat(function.name, " ", ChangeReasonName(function.reason)));
      }
    }
    return names;
  }

  // The only refusal's code and message.
  static std::string OnlyRefusal(const BuildReport& report) {
    EXPECT_EQ(report.refusals.size(), 1u);
    return report.refusals.empty() ? "none" : RefusalReport(report.refusals.front());
  }

  std::string folder_;
  std::string loops_flag_;                        // of the next program
  std::deque<std::vector<std::string>> objects_;  // of the program, then of each module
  BaseObjects bases_;                             // the program first
  std::set<std::string> left_out_;                // by the last compilation
};

TEST(SourceEditsTest, NormalizesPathsAsTheLibraryDoes) {
  for (const char* path : {"/a/b.h",  "/a/.b/..c/...", "/a//b",    "//a",    "/a/./b",
                           "/a/../b", "/a/.",          "/a/..",    "/a/...", "/",
                           "/.",      "a/b",           "./a",      "../a",   "",
                           ".",       "/a/b/",         "/a/.../b", "/..b",   "/a.b/c.."}) {
    EXPECT_EQ(SourceEdits::Normalized("/at/home", path),
              (std::filesystem::path("/at/home") / path).lexically_normal().string())
        << path;
  }
}

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
  loops_flag_ = "-fmend-loops=drain";
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
  loops_flag_ = "-fmend-loops=drain";
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
  // Clang makes such a table one of relative addresses.
  EXPECT_THAT(report.module.units.front().new_data, ElementsAre("names.rel"));
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

TEST_F(CompareTest, DiffOfASeriesAppliesInOrderAndSkipsForeignFiles) {
  MakeUsualProgram();
  Write("one.patch",
        "--- a/shape.c\n+++ b/shape.c\n@@ -4 +4 @@\n-int helper(int a) { return a ^ 5; }\n"
        "+int helper(int a) { return a ^ 6; }\n"
        "--- a/tests/t.tcl\n+++ b/tests/t.tcl\n@@ -1 +1 @@\n-x\n+y\n");
  Write("two.patch",
        "--- a/shape.c\n+++ b/shape.c\n@@ -4 +4 @@\n-int helper(int a) { return a ^ 6; }\n"
        "+int helper(int a) { return a ^ 9; }\n");
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/one.patch", {}).ok());
  ASSERT_TRUE(edits.AddDiff(folder_ + "/two.patch", {}).ok());
  EXPECT_THAT(edits.notes(), ElementsAre(HasSubstr("a/tests/t.tcl is no part of the program")));
  EXPECT_THAT(Functions(Finish(edits)), ElementsAre("helper changed"));
  SourceEdits wrong_order(bases_);
  EXPECT_THAT(std::string(Std(wrong_order.AddDiff(folder_ + "/two.patch", {}).message())),
              HasSubstr("MEND-E0006"));
}

// A diff with a changed file that is no source of the program.
std::string DiffWith(const std::string& foreign, const std::string& added) {
  return absl::StrCat(
      "--- a/shape.c\n+++ b/shape.c\n@@ -4 +4 @@\n-int helper(int a) { return a ^ 5; }\n"
      "+int helper(int a) { return a ^ 6; }\n"
      "--- a/",
      foreign, "\n+++ b/", foreign, "\n@@ -1 +1 @@\n-x\n+", added, "\n");
}

TEST_F(CompareTest, RefusesADiffOfWhatASourceIsGeneratedFrom) {
  const std::string parser = "#line 3 \"grammar/parse.y\"\nint parse(int x) { return x + 1; }\n";
  MakeProgram({{"shape.h", kHeader}, {"main.c", kMain}, {"shape.c", kShape}, {"parse.c", parser}});
  Write("fix.patch", DiffWith("grammar/parse.y", "y"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  const std::string refusal(Std(edits.Check().message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0010"));
  EXPECT_THAT(refusal, HasSubstr("parse.c is generated from a/grammar/parse.y"));
  // With what the build made of it there is nothing left to do.
  Write("edited/parse.c", Replaced(parser, "x + 1", "x + 2"));
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/parse.c").ok());
  EXPECT_TRUE(edits.Check().ok());
  EXPECT_THAT(Functions(Finish(edits)), UnorderedElementsAre("helper changed", "parse changed"));
  // Another file of that name, and a manual.
  Write("other.patch", DiffWith("tools/parse.y", "y"));
  SourceEdits others(bases_);
  ASSERT_TRUE(others.AddDiff(folder_ + "/other.patch", {}).ok());
  EXPECT_TRUE(others.Check().ok());
}

TEST_F(CompareTest, RefusesToEditAHeaderOfWhichTheBuildMadeACopy) {
  // As postfix does, whose folders include the copies of each other's headers.
  const std::string header = "#define LIMIT 4\n";
  std::filesystem::create_directories(folder_ + "/include");
  MakeProgram({{"limit.h", header},
               {"include/limit.h", header},
               {"a.c", "#include \"limit.h\"\nint a(void) { return LIMIT; }\n"},
               {"b.c", "#include \"include/limit.h\"\nint b(void) { return LIMIT; }\n"}});
  const std::string diff =
      "--- a/limit.h\n+++ b/limit.h\n@@ -1 +1 @@\n-#define LIMIT 4\n+#define LIMIT 5\n";
  Write("fix.patch", diff);
  SourceEdits edits(bases_);
  SourceEdits::DiffOptions options;
  options.source_dir = folder_;
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", options).ok());
  const std::string refusal(Std(edits.Check().message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0008"));
  EXPECT_THAT(refusal, HasSubstr("include/limit.h too"));
  // Given as well, it goes in everywhere.
  std::filesystem::create_directories(folder_ + "/edited/include");
  Write("edited/include/limit.h", "#define LIMIT 5\n");
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/include/limit.h").ok());
  EXPECT_TRUE(edits.Check().ok());
  EXPECT_THAT(Functions(Finish(edits)), UnorderedElementsAre("a changed", "b changed"));
}

TEST_F(CompareTest, RefusesADiffOfAHeaderOfWhichTheProgramReadsACopyAlone) {
  std::filesystem::create_directories(folder_ + "/include");
  MakeProgram({{"include/limit.h", "#define LIMIT 4\n"},
               {"a.c", "#include \"include/limit.h\"\nint a(int x) { return x + LIMIT; }\n"}});
  Write("fix.patch",
        "--- a/a.c\n+++ b/a.c\n@@ -2 +2 @@\n-int a(int x) { return x + LIMIT; }\n"
        "+int a(int x) { return x - LIMIT; }\n"
        "--- a/util/limit.h\n+++ b/util/limit.h\n@@ -1 +1 @@\n-#define LIMIT 4\n"
        "+#define LIMIT 5\n");
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  const std::string refusal(Std(edits.Check().message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0008"));
  EXPECT_THAT(refusal, HasSubstr("a/util/limit.h is no part of the program, but applies to"));
  std::filesystem::create_directories(folder_ + "/edited/include");
  Write("edited/include/limit.h", "#define LIMIT 5\n");
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/include/limit.h").ok());
  EXPECT_TRUE(edits.Check().ok());
}

TEST_F(CompareTest, RefusesADiffOfWhatAHeaderIsFilledInFrom) {
  MakeUsualProgram();
  // ProFTPD's fix of CVE-2023-48795 adds an option to mod_sftp.h.in.
  Write("fix.patch", DiffWith("shape.h.in", "#define LIMIT 7"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  const std::string refusal(Std(edits.Check().message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0010"));
  EXPECT_THAT(refusal, HasSubstr("shape.h is generated from a/shape.h.in"));
  Write("edited/shape.h", absl::StrCat(kHeader, "#define LIMIT 7\n"));
  ASSERT_TRUE(edits.AddFile(folder_ + "/edited/shape.h").ok());
  EXPECT_TRUE(edits.Check().ok());
  // What configure may find, and a template of something else.
  for (const std::string& other : {DiffWith("shape.h.in", "#undef HAVE_LIMIT"),
                                   DiffWith("shape.conf.in", "#define LIMIT 7")}) {
    Write("other.patch", Replaced(other, "@@ -1 +1 @@\n-x\n", "@@ -0,0 +1 @@\n"));
    SourceEdits others(bases_);
    ASSERT_TRUE(others.AddDiff(folder_ + "/other.patch", {}).ok());
    EXPECT_TRUE(others.Check().ok());
  }
}

TEST_F(CompareTest, RefusesToEditOneOfTwoNamesOfAFile) {
  // What a compiler cache does: the object of one folder stands in another one's program.
  std::filesystem::create_directories(folder_ + "/one");
  std::filesystem::create_directories(folder_ + "/two");
  std::vector<std::pair<std::string, std::string>> compiled;
  for (const std::string name : {"one", "two"}) {
    Write(name + "/answer.h", "#define ANSWER 4\n");
    Write(name + "/" + name + ".c",
          absl::StrCat("#include \"answer.h\"\nint ", name, "(void) { return ANSWER; }\n"));
    CompileRequest request;
    request.directory = folder_ + "/" + name;
    request.language = "c";
    request.arguments = {"-O2", "-c", name + ".c"};
    request.output = name + ".o";
    CompileResult result = ClangRunner().Compile(request);
    ASSERT_TRUE(result.ok) << result.diagnostics;
    compiled.emplace_back(request.output, std::move(result.object));
  }
  absl::StatusOr<Base> base = Base::FromObjects(
      {{compiled[0].first, compiled[0].second}, {compiled[1].first, compiled[1].second}});
  ASSERT_TRUE(base.ok()) << base.status();
  BaseObjects objects;
  objects.push_back(*std::move(base));
  SourceEdits edits(objects);
  Write("two/answer.h", "#define ANSWER 5\n");
  ASSERT_TRUE(edits.AddFile(folder_ + "/two/answer.h").ok());
  const std::string refusal(Std(edits.Check().message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0008"));
  EXPECT_THAT(refusal, HasSubstr("one/answer.h too, with the same contents"));
  // Both named, there is no doubt.
  ASSERT_TRUE(edits.AddFile(folder_ + "/one/answer.h").ok());
  EXPECT_TRUE(edits.Check().ok());
}

TEST_F(CompareTest, RefusesANewVariableThatTheBuildRegisters) {
  MakeUsualProgram();
  for (const auto& [file, is_refused] :
       std::map<std::string, bool>{{"auto/modules", true}, {"doc/modules.txt", false}}) {
    Write("fix.patch", DiffWith(file, "added_module \\"));
    SourceEdits edits(bases_);
    ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    Write("more.patch", absl::StrCat("--- a/main.c\n+++ b/main.c\n@@ -20,1 +20,2 @@\n"
                                     " int says(void) { return puts(\"hello\"); }\n"
                                     "+int added_module = 5;\n"));
    ASSERT_TRUE(edits.AddDiff(folder_ + "/more.patch", {}).ok());
    const BuildReport report = Finish(edits);
    if (!is_refused) {
      EXPECT_THAT(report.refusals, IsEmpty());
      continue;
    }
    ASSERT_EQ(report.refusals.size(), 1u);
    EXPECT_EQ(report.refusals.front().code, RefusalCode::kGeneratedSource);
    EXPECT_THAT(report.refusals.front().message, HasSubstr("auto/modules names 'added_module'"));
  }
}

TEST_F(CompareTest, WarnsOfMacrosThatTheBuildWouldDefine) {
  MakeUsualProgram();
  Write("fix.patch", DiffWith("configure.ac", "AC_DEFINE([HAVE_FAST_XOR], [1])"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(edits.MacroWarnings(), IsEmpty());
  Write("more.patch",
        "--- a/shape.c\n+++ b/shape.c\n@@ -4 +4,3 @@\n int helper(int a) { return a ^ 6; }\n"
        "+#ifdef HAVE_FAST_XOR\n+#endif\n");
  ASSERT_TRUE(edits.AddDiff(folder_ + "/more.patch", {}).ok());
  EXPECT_THAT(edits.MacroWarnings(), ElementsAre(HasSubstr("HAVE_FAST_XOR")));
}

// BIND's fixes bring scripts that test them.
TEST_F(CompareTest, AScriptThatADiffAddsUsesNoMacros) {
  MakeUsualProgram();
  Write("fix.patch", absl::StrCat(DiffWith("old/run.py", "socket(AF_INET)"),
                                  "--- /dev/null\n+++ b/new/run.py\n@@ -0,0 +1,2 @@\n"
                                  "+socket(AF_INET)\n+first, _ = pair\n"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(edits.MacroWarnings(), IsEmpty());
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

// --- refusals ---

TEST_F(CompareTest, RefusesACompileErrorWithClangsWords) {
  MakeUsualProgram();
  EXPECT_THAT(
      OnlyRefusal(Build({{"main.c", Replaced(kMain, "calls++;", "calls+++;")}})),
      AllOf(HasSubstr("MEND-E0001"), HasSubstr("main.c:11:"), HasSubstr("error: expected")));
}

TEST_F(CompareTest, ACompileErrorForWantOfAGeneratedHeaderSaysSo) {
  MakeProgram({{"proto.h", "int first(int a);\n"},
               {"part.c", "int first(int a) { return a; }\n"},
               {"user.c", "#include \"proto.h\"\nint use(int a) { return first(a); }\n"}});
  const std::map<std::string, std::string> edit = {
      {"part.c", "int first(int a) { return a; }\nint second(int a) { return a + 1; }\n"},
      {"user.c", "#include \"proto.h\"\nint use(int a) { return second(a); }\n"}};
  EXPECT_THAT(OnlyRefusal(Build(edit)),
              AllOf(HasSubstr("MEND-E0001"), HasSubstr("undeclared function 'second'"),
                    HasSubstr("'second' is new in " + folder_ + "/part.c"),
                    HasSubstr("give that header beside the diff")));
  // With the header there is nothing to say; nor where the edit has no such function.
  std::map<std::string, std::string> with_header = edit;
  with_header["proto.h"] = "int first(int a);\nint second(int a);\n";
  EXPECT_THAT(Functions(Build(with_header)), ElementsAre("use changed"));
  EXPECT_THAT(OnlyRefusal(Build({{"user.c", Replaced(edit.at("user.c"), "second", "third")}})),
              AllOf(HasSubstr("MEND-E0001"), Not(HasSubstr("is new in"))));
}

TEST_F(CompareTest, RefusesAChangedLayoutAndShowsBoth) {
  MakeUsualProgram();
  const std::map<std::string, std::string> edit = {
      {"shape.h", Replaced(kHeader, "int x; int y;", "int w; int x; int y;")}};
  EXPECT_THAT(OnlyRefusal(Build(edit)),
              AllOf(HasSubstr("MEND-E0101"), HasSubstr("running program: 8 bytes"),
                    HasSubstr("edited source: 12 bytes"), HasSubstr("member 'w' was added"),
                    HasSubstr("     0  int x            |      4  int x")));
  BuildOptions options;
  options.allow_layout = {"point"};
  EXPECT_THAT(Functions(Build(edit, options)), ElementsAre("norm changed"));
}

// As BIND's struct respctx: an object on the stack of one function, which passes its address to
// static helpers.
constexpr char kResponse[] =
    "#include <string.h>\n"
    "extern int read_answer(char *, int);\n"
    "struct response { int length; int tries; char text[32]; struct { int first; } range; };\n"
    "static __attribute__((noinline)) void begin(struct response *r) {\n"
    "  memset(r, 0, sizeof(*r));\n"
    "  r->tries = 3;\n"
    "}\n"
    "static __attribute__((noinline)) int finish(const struct response *r, int *tries) {\n"
    "  if (r == NULL) return 0;\n"
    "  *tries += r->tries;\n"
    "  return r->text[0] + r->length + r->range.first;\n"
    "}\n"
    "int respond(int x) {\n"
    "  struct response response;\n"
    "  struct response *r = &response;\n"
    "  begin(r);\n"
    "  r->length = read_answer(r->text, 32);\n"
    "  return finish(&response, &r->range.first) + x;\n"
    "}\n"
    "int other(int x) { return x + 1; }\n";

// The same in C++, with an inlined allocator and its caller.
constexpr char kParser[] =
    "extern int read_answer(char *, int);\n"
    "namespace {\n"
    "class Parser {\n"
    " public:\n"
    "  explicit Parser(int limit) : limit_(limit) {}\n"
    "  ~Parser() { read_answer(text_, limit_); }\n"
    "  __attribute__((noinline)) int Parse() { return read_answer(text_, limit_) + seen_++; }\n"
    "  int seen() const { return seen_; }\n"
    " private:\n"
    "  int limit_;\n"
    "  int seen_ = 0;\n"
    "  char text_[16];\n"
    "};\n"
    "int Run(Parser& parser) { return parser.Parse() + parser.seen(); }\n"
    "inline int Once(int x) { Parser parser(x); return Run(parser); }\n"
    "}\n"
    "int twice(int x) { return Once(x) + Once(x + 1); }\n";

TEST_F(CompareTest, ARecordThatIsOnlyInFramesOfChangedFunctionsIsFine) {
  MakeProgram({{"a.c", kResponse}, {"b.c", "int unrelated(int x) { return x; }\n"}});
  const std::vector<std::array<std::string, 2>> edits = {
      {"int length;", "int flags; int length;"},
      {"char text[32];", "char text[40];"},
      {"int length; int tries;", "int tries; int length;"},
      {"struct { int first; }", "struct { int last; int first; }"},
  };
  for (const auto& [from, to] : edits) {
    SCOPED_TRACE(to);
    const BuildReport report = Build({{"a.c", Replaced(kResponse, from, to)}});
    EXPECT_THAT(report.refusals, IsEmpty());
    ASSERT_EQ(report.frame_records.size(), 1u);
    EXPECT_THAT(report.frame_records[0].change, StartsWith("struct response: "));
    EXPECT_THAT(report.frame_records[0].functions, ElementsAre("respond"));
    EXPECT_THAT(Functions(report), Contains("respond changed"));
  }
  // What the author answers for is not looked at.
  BuildOptions options;
  options.allow_layout = {"response"};
  EXPECT_THAT(
      Build({{"a.c", Replaced(kResponse, "int length;", "int flags; int length;")}}, options)
          .frame_records,
      IsEmpty());
}

TEST_F(CompareTest, AClassThatIsOnlyInFramesOfChangedFunctionsIsFine) {
  MakeProgram({{"a.cc", kParser}});
  const BuildReport report =
      Build({{"a.cc", Replaced(kParser, "int limit_;", "long flags_ = 0; int limit_;")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.frame_records.size(), 1u);
  EXPECT_THAT(report.frame_records[0].functions, Contains("_Z5twicei"));
}

TEST_F(CompareTest, ARecordInAHeaderIsFineIfNoOtherUnitCanPassItOn) {
  const std::string header =
      "struct walk { int depth; int limit; };\n"
      "static inline int deeper(struct walk *w) { return ++w->depth < w->limit; }\n";
  const std::string unit =
      "#include \"walk.h\"\n"
      "extern int visit(int);\n"
      "int descend$(int n) {\n"
      "  struct walk w = {visit(n), n};\n"
      "  int sum = 0;\n"
      "  while (deeper(&w)) sum += visit(w.depth);\n"
      "  return sum;\n"
      "}\n";
  const std::map<std::string, std::string> files = {
      {"walk.h", header},
      {"a.c", Replaced(unit, "$", "_a")},
      {"b.c", Replaced(unit, "$", "_b")},
      {"c.c", "#include \"walk.h\"\nint indifferent(int x) { return x; }\n"}};
  MakeProgram(files);
  const std::string edited = Replaced(header, "int depth;", "long sum; int depth;");
  const std::string use = "sum += visit(w.depth);";
  std::map<std::string, std::string> edit = {{"walk.h", edited}};
  for (const char* name : {"a.c", "b.c"}) {
    edit[name] = Replaced(files.at(name), use, "w.sum += visit(w.depth), sum = (int)w.sum;");
  }
  const BuildReport report = Build(edit);
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.frame_records.size(), 1u);
  EXPECT_THAT(report.frame_records[0].functions, ElementsAre("descend_a", "descend_b"));

  // A guest module may have the header, too, and call the program's function.
  edit["walk.h"] = Replaced(edited, "static inline",
                            "int exported(struct walk *w) { return "
                            "w->limit; }\nstatic inline");
  EXPECT_THAT(Build(edit).refusals,
              Contains(Field(&Refusal::detail,
                             HasSubstr("only in frames of changed functions: other units may call "
                                       "'exported' ("))));
}

struct EscapeCase {
  const char* what;
  const char* language;
  const char* code;    // in front of respond()
  const char* inside;  // in the place of its call of finish()
  const char* reason;
};

// Each way out of the frames, told by its reason.
constexpr EscapeCase kEscapes[] = {
    {"a global", "c", "struct response last;", "last = response;",
     "'last' is no automatic variable"},
    {"a static", "c", "", "static struct response kept; kept.tries++;", "'kept' is no automatic"},
    {"a thread-local", "c", "static _Thread_local struct response mine;", "mine.tries++;",
     "'mine' is no automatic variable"},
    {"an address in a global", "c", "struct response *last;", "last = r;",
     "'last' is no automatic"},
    {"an address in a void pointer", "c", "void *last;", "last = r;",
     "'struct response *' is converted to 'void *'"},
    {"an address as a number", "c", "unsigned long last;", "last = (unsigned long)r;",
     "converted to 'unsigned long'"},
    {"an address in an array", "c", "", "struct response *all[2] = {r}; begin(all[x & 1]);",
     "'all' is a 'struct response *[2]'"},
    {"an address of the address", "c", "static void find(struct response **out) { *out = 0; }",
     "find(&r);", "'out' is a 'struct response **'"},
    {"the heap", "c", "extern void *malloc(unsigned long);", "r = malloc(sizeof(struct response));",
     "is converted to 'struct response *'"},
    {"its bytes in the heap", "c", "extern char *heap;", "memcpy(heap, r, sizeof(*r));",
     "converted to 'const void *'"},
    {"its size", "c", "extern int save(unsigned long);", "save(sizeof(*r));", "its size is asked"},
    {"what memset returns", "c", "void *last;", "last = memset(r, 0, sizeof(*r));",
     "converted to 'void *'"},
    {"the value of a block", "c", "void *last;", "last = ({ memset(r, 0, sizeof(*r)); });",
     "converted to 'void *'"},
    {"qsort", "c",
     "extern void qsort(void *, unsigned long, unsigned long, int (*)(const void *, const void "
     "*));\n"
     "static int compare(const void *a, const void *b) { return a < b; }",
     "struct response all[4]; qsort(all, 4, 8, compare);", "converted to 'void *'"},
    {"a comparison by address", "c",
     "extern int sort(int (*)(const struct response *, const struct response *));\n"
     "static int compare(const struct response *a, const struct response *b) { return a->tries - "
     "b->tries; }",
     "sort(compare);", "passed to 'sort', which is not defined"},
    {"a function pointer", "c", "extern int (*hook)(struct response *);", "hook(r);",
     "'hook' is no automatic variable"},
    {"a member of another record", "c", "struct outer { struct response inner; };", "",
     "a member 'inner' of 'outer' contains it or leads to it"},
    {"a pointer in another record", "c", "struct outer { struct response *inner; };", "",
     "a member 'inner' of 'outer' contains it or leads to it"},
    {"another unit's function", "c", "extern void keep(struct response *);", "keep(r);",
     "passed to 'keep', which is not defined in this unit"},
    {"a function that others may call", "c", "void begin_too(struct response *r) { r->tries++; }",
     "begin_too(r);", "other units may call 'begin_too'"},
    {"another unit's result", "c", "extern struct response *get(void);", "begin(get());",
     "passed to 'get', which is not defined"},
    {"a parameter by value", "c", "static int by_value(struct response r) { return r.tries; }",
     "x += by_value(*r);", "'r' is passed by value"},
    {"a variable argument", "c", "static void log_it(int n, ...) { n++; }", "log_it(1, r);",
     "'log_it' takes it as a variable argument"},
    {"a thread's argument", "c",
     "extern int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);\n"
     "static void *run(void *p) { return p; }",
     "unsigned long id; pthread_create(&id, 0, run, r);", "converted to 'void *'"},
    {"a thread's function", "c",
     "static void *run(void *p) { struct response *r = p; begin(r); return p; }", "run(0);",
     "'void *' is converted to 'struct response *'"},
    {"a context's argument", "c",
     "#include <ucontext.h>\nstatic ucontext_t here;\n"
     "static void run(struct response *r) { r->tries++; }",
     "makecontext(&here, (void (*)(void))run, 1, r);",
     "passed to 'makecontext', which is not defined"},
    {"a suspended context", "c", "#include <ucontext.h>\nstatic ucontext_t here, there;",
     "swapcontext(&here, &there);", "'respond' calls swapcontext"},
    {"a jump into the frame", "c", "#include <setjmp.h>\nstatic jmp_buf back;",
     "if (setjmp(back)) return 1;", "'respond' calls _setjmp"},
    {"an assembler's operand", "c", "", "asm volatile(\"\" : : \"r\"(r));", "(GCCAsmStmt)"},
    {"offsetof", "c", "#include <stddef.h>\nextern int at;",
     "at = offsetof(struct response, text);", "the place of a member is asked for"},
    {"a clean-up elsewhere", "c", "extern void drop(struct response *);",
     "struct response own __attribute__((cleanup(drop))); own.tries = x;", "passed to 'drop'"},
    {"a lambda that escapes", "c++", "#include <functional>\nstd::function<int()> last;",
     "last = [&response] { return response.tries; };", "(LambdaExpr)"},
    {"a lambda that does not", "c++", "", "[](struct response &r) { r.tries++; }(response);",
     "a lambda has to do with it"},
    {"new", "c++", "", "r = new struct response();", "it is allocated"},
    {"a template's argument", "c++", "#include <vector>\nstatic std::vector<struct response> all;",
     "", "'all' is no automatic variable"},
    {"a local template's", "c++", "#include <vector>", "std::vector<struct response> all(2);",
     "'all' is a 'std::vector<struct response>'"},
    {"an exception", "c++", "", "if (x == 7) throw response;", "(CXXThrowExpr)"},
    {"a class derived from it", "c++", "struct derived : response { int more; };", "",
     "a base class has to do with it"},
    {"a reference that lives on", "c++", "const struct response &last = response_of(3);", "",
     "'last' is no automatic variable"},
    {"a lambda that copies the address", "c++", "", "auto f = [r] { return r->tries; }; x += f();",
     "(LambdaExpr)"},
    {"a coroutine", "c++",
     "#include <coroutine>\n"
     "struct task { struct promise_type {\n"
     "  task get_return_object() { return {}; }\n"
     "  std::suspend_never initial_suspend() { return {}; }\n"
     "  std::suspend_never final_suspend() noexcept { return {}; }\n"
     "  void return_void() {}\n  void unhandled_exception() {} }; };\n"
     "task later() { struct response r; r.tries = 1; co_await std::suspend_always(); "
     "r.tries++; }",
     "later();", "'later' is a coroutine"},
};

TEST_F(CompareTest, ARecordThatLeavesTheFramesIsRefusedAndSaysWhere) {
  for (const EscapeCase& escape : kEscapes) {
    SCOPED_TRACE(escape.what);
    std::string source = Replaced(kResponse, "  return finish(",
                                  absl::StrCat("  ", escape.inside, "\n  return finish("));
    const std::string file = std::string(escape.language) == "c" ? "a.c" : "a.cc";
    if (file == "a.cc") {
      source = Replaced(source, "int respond(",
                        "static struct response response_of(int n) { struct response r; "
                        "begin(&r); r.tries = n; return r; }\nint respond(");
    }
    source = Replaced(source, "int respond(", absl::StrCat(escape.code, "\nint respond("));
    TearDown();
    SetUp();
    bases_.clear();
    objects_.clear();
    MakeProgram({{file, source}});
    SourceEdits edits(bases_);
    Write("edited/" + file, Replaced(source, "int length;", "int flags; int length;"));
    ASSERT_TRUE(edits.AddFile(folder_ + "/edited/" + file).ok());
    BuildOptions options;
    options.name = "test";
    const BuildReport report = BuildWith(edits, options, Way::kUsual);
    EXPECT_TRUE(report.frame_records.empty());
    std::string reasons;
    for (const Refusal& refusal : report.refusals) {
      if (refusal.code == RefusalCode::kRecordLayout) reasons += refusal.detail;
    }
    EXPECT_THAT(reasons, AllOf(HasSubstr("not only in frames of changed functions: "),
                               HasSubstr(escape.reason)));
  }
}

TEST_F(CompareTest, ARecordThatTheEditLetsOutIsRefused) {
  MakeProgram({{"a.c", kResponse}});
  std::string edit = Replaced(kResponse, "int length;", "int flags; int length;");
  edit = Replaced(edit, "int respond(", "static void *last;\nint respond(");
  edit = Replaced(edit, "  begin(r);", "  last = r; begin(r);");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})), HasSubstr("is converted to 'void *' (a.c:"));
}

// When the patch is taken off, a thread may switch in the middle of it.
TEST_F(CompareTest, ARecordInAFrameOfANewFunctionIsRefused) {
  MakeProgram({{"a.c", kResponse}});
  const std::string edit =
      absl::StrCat(Replaced(kResponse, "int length;", "int flags; int length;"),
                   "int fresh(int x) { struct response r; begin(&r); return finish(&r, &x); }\n");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'fresh' is new, and has one in its frame"));
}

TEST_F(CompareTest, ARecordOfAUnitThatIsNotInThePatchIsRefused) {
  MakeProgram({{"a.c", kResponse},
               {"b.c",
                "struct response { int length; int tries; };\n"
                "int of_another(int x) { struct response r = {x, x}; return r.tries; }\n"}});
  EXPECT_THAT(
      OnlyRefusal(Build({{"a.c", Replaced(kResponse, "int length;", "int flags; int length;")}})),
      HasSubstr("only in frames of changed functions: b.c has a record of that name"));
}

// respond() itself does not change when a member is put where there was room: it would call begin()
// and finish() of different versions.
TEST_F(CompareTest, ARecordInAFrameOfAFunctionThatDoesNotChangeIsRefused) {
  const std::string source = Replaced(Replaced(kResponse, "int length;", "int length; char kind;"),
                                      "r->range.first)", "x)");
  const std::string respond =
      "int respond(int x) {\n  struct response response;\n  begin(&response);\n"
      "  return finish(&response, &x);\n}\n";
  const size_t at = source.find("int respond(");
  const std::string program =
      source.substr(0, at) + respond + source.substr(source.find("int other("));
  MakeProgram({{"a.c", program}});
  std::string edit = Replaced(program, "char kind;", "char kind; char mode;");
  edit = Replaced(edit, "r->tries = 3;", "r->tries = 3; r->mode = 1;");
  edit = Replaced(edit, "*tries += r->tries;", "*tries += r->tries + r->mode;");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'respond' (a.c) has one in its frame, and is not replaced"));
  // Nor does what inlined it.
  const std::string inlined = Replaced(program, "int respond(", "static int respond(") +
                              "int calls(int x) { return respond(x) + 2; }\n";
  bases_.clear();
  objects_.clear();
  MakeProgram({{"a.c", inlined}});
  edit = Replaced(inlined, "char kind;", "char kind; char mode;");
  edit = Replaced(edit, "r->tries = 3;", "r->tries = 3; r->mode = 1;");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'calls' (a.c) has one in its frame, and is not replaced"));
}

TEST_F(CompareTest, APatchToBeStackedHasNoRecordsOfItsOwnLayout) {
  MakeProgram({{"a.c", kResponse}});
  BuildOptions stacked;
  stacked.replace = false;
  BuildOptions of_a_set;
  of_a_set.replace_set = "probes";
  for (const BuildOptions& options : {stacked, of_a_set}) {
    EXPECT_THAT(
        OnlyRefusal(Build({{"a.c", Replaced(kResponse, "int length;", "int flags; int length;")}},
                          options)),
        HasSubstr("only in frames of changed functions: the patch is not cumulative"));
  }
}

TEST_F(CompareTest, RefusesAChangedEnumeratorButNotANewOne) {
  MakeUsualProgram();
  EXPECT_THAT(OnlyRefusal(Build({{"shape.h", Replaced(kHeader, "RED,", "BLUE, RED,")}})),
              AllOf(HasSubstr("MEND-E0103"), HasSubstr("'RED' changed from 0 to 1")));
  EXPECT_TRUE(Build({{"shape.h", Replaced(kHeader, "GREEN }", "GREEN, BLUE }")}}).no_change);
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

// Two members that change places leave the record's places as they were, and each other's values in
// live objects.
TEST_F(CompareTest, MembersMayBeRenamedAndNotExchanged) {
  MakeUsualProgram();
  EXPECT_THAT(
      OnlyRefusal(Build({{"shape.h", Replaced(kHeader, "int x; int y;", "int y; int x;")}})),
      AllOf(HasSubstr("MEND-E0101"), HasSubstr("'y' moved from offset 4 to 0")));
  std::string renamed = Replaced(kHeader, "int y;", "int z;");
  const BuildReport report =
      Build({{"shape.h", renamed}, {"shape.c", Replaced(kShape, "square(p->y)", "square(p->z)")}});
  EXPECT_THAT(report.refusals, IsEmpty());
}

constexpr char kFetch[] =
    "struct find { long id; };\n"
    "struct address { long id; };\n"
    "enum stage { IDLE, BUSY };\n"
    "struct fetch {\n"
    "  struct find *find;\n"
    "  int tries;\n"
    "  const char *name;\n"
    "  void *context;\n"
    "  int (*done)(int);\n"
    "  struct { int low; int high; } slots[2], *more;\n"
    "  unsigned is_open : 1;\n"
    "};\n"
    "struct fetch *current;\n"
    "static int limit;\n"
    "static struct { int first; int last; } range;\n"
    "static struct { int key; int value; } *table;\n"
    "long fetch_id(void) {\n"
    "  static long asked;\n"
    "  asked += current->tries + limit + range.first * 2 + range.last + table->key * 3;\n"
    "  return asked + current->slots[1].low + current->more->low;\n"
    "}\n";

// A BIND fix put a pointer to an address where one to a list of them had been: its new code would
// have followed what live objects had there.
TEST_F(CompareTest, AMemberOfAnotherMeaningIsRefusedWhereverItStands) {
  MakeProgram({{"fetch.c", kFetch}});
  const std::vector<std::array<std::string, 3>> edits = {
      {"struct find *find;", "struct address *found;",
       "member 'found' (struct address *) stands in the place of 'find' (struct find *)"},
      {"struct find *find;", "struct address *find;",
       "the type of member 'find' changed from 'struct find *' to 'struct address *'"},
      {"int tries;", "float tries;", "the type of member 'tries' changed from 'int' to 'float'"},
      {"const char *name;", "long name;", "the type of member 'name' changed"},
      {"void *context;", "int (*context)(void);", "the type of member 'context' changed"},
      {"int low; int high;", "int high; int low;",
       "member 'slots[].high' moved from offset 44 to 40"},
  };
  for (const auto& [from, to, reason] : edits) {
    SCOPED_TRACE(to);
    // The edited source need not use it.
    EXPECT_THAT(OnlyRefusal(Build({{"fetch.c", Replaced(kFetch, from, to)}})),
                AllOf(HasSubstr("MEND-E0101"), HasSubstr("struct fetch: "), HasSubstr(reason)));
  }
  BuildEach("fetch.c", kFetch,
            {{"int tries;", "unsigned tries;"},
             {"int tries;", "enum stage tries;"},
             {"const char *name;", "unsigned char *name;"},
             {"void *context;", "struct address *context;"},
             {"int (*done)(int);", "int (*done)(int, long);"},
             {"struct find *find;", "struct find *found;"},
             {"unsigned is_open : 1;", "_Bool is_open : 1;"}},
            [](const BuildReport& report) { EXPECT_THAT(report.refusals, IsEmpty()); });
}

TEST_F(CompareTest, AVariableOfAnotherMeaningIsRefused) {
  MakeProgram({{"fetch.c", kFetch}});
  const std::vector<std::array<std::string, 3>> edits = {
      {"static int limit;", "static float limit;",
       "variable 'limit': its type changed from 'int' to 'float'"},
      {"int first; int last;", "int last; int first;",
       "variable 'range': member 'last' moved from offset 4 to 0"},
      {"int key; int value;", "int value; int key;",
       "variable 'table': member 'value' moved from offset 4 to 0"},
      {"static struct { int key; int value; } *table;",
       "static struct item { int key; int value; } *table;",
       "variable 'table': its type changed from"},
      {"static long asked;", "static double asked;",
       "variable 'fetch_id.asked': its type changed from 'long' to 'double'"},
  };
  for (const auto& [from, to, reason] : edits) {
    SCOPED_TRACE(to);
    EXPECT_THAT(OnlyRefusal(Build({{"fetch.c", Replaced(kFetch, from, to)}})),
                AllOf(HasSubstr("MEND-E0118"), HasSubstr(reason)));
  }
  BuildEach("fetch.c", kFetch,
            {{"static int limit;", "static unsigned limit;"},
             {"int first; int last;", "int begin; int last;\n#define first begin\n"},
             {"static long asked;", "static long asked, answered; answered = asked;"}},
            [](const BuildReport& report) { EXPECT_THAT(report.refusals, IsEmpty()); });
}

TEST_F(CompareTest, VariablesOfTemplatesAndOverloadsAreToldApart) {
  const std::string source =
      "template <typename T> T& last(T value) { static T kept; kept += value; return kept; }\n"
      "int count(int a) { static int n; return n += a; }\n"
      "double count(double a) { static double n; return n += a; }\n"
      "double use() { return last(1) + last(2.5) + count(1) + count(2.0); }\n";
  MakeProgram({{"v.cc", source}});
  EXPECT_TRUE(Build({{"v.cc", absl::StrCat("//\n", source)}}).no_change);
  EXPECT_THAT(OnlyRefusal(Build({{"v.cc", Replaced(source, "static double n", "static long n")}})),
              AllOf(HasSubstr("MEND-E0118"), HasSubstr("count(double)::n"),
                    HasSubstr("from 'double' to 'long'")));
  // One more in front has a variable of the same name, too.
  const std::string one_more = "float count(float a) { static float n; return n += a; }\n";
  EXPECT_THAT(Build({{"v.cc", absl::StrCat(one_more, source)}}).refusals, IsEmpty());
}

TEST_F(CompareTest, RefusesChangedVirtualFunctions) {
  const std::string source =
      "struct S { virtual ~S(); virtual int f(); int n; };\nS::~S() {}\nint S::f() { return n; }\n"
      "S* make() { return new S; }\n";
  MakeProgram({{"s.cc", source}});
  const BuildReport report =
      Build({{"s.cc", Replaced(source, "virtual int f();",
                               "virtual int e() { return 1; } virtual int f();")}});
  ASSERT_FALSE(report.refusals.empty());
  EXPECT_THAT(report.refusals, Contains(Field(&Refusal::code, RefusalCode::kVtable)));
}

TEST_F(CompareTest, RefusesAVariableThatNeedsAConstructor) {
  const std::string source = "int ext(int);\nint g = ext(1);\nint f() { return g; }\n";
  MakeProgram({{"g.cc", source}});
  const BuildReport report = Build(
      {{"g.cc", "int ext(int);\nint g = ext(1);\nint h = ext(2);\nint f() { return g + h; }\n"}});
  EXPECT_THAT(OnlyRefusal(report), AllOf(HasSubstr("MEND-E0115"), HasSubstr("'h'")));
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

TEST_F(CompareTest, RefusesSourcesThatAreUnknownOrUnclear) {
  MakeUsualProgram();
  Write("edited/other.c", "int x;\n");
  SourceEdits edits(bases_);
  EXPECT_THAT(std::string(Std(edits.AddFile(folder_ + "/edited/other.c").message())),
              HasSubstr("MEND-E0007"));
}

// --- guest modules ---

std::vector<std::string> ModulesAndUnits(const BuildReport& report) {
  std::vector<std::string> units;
  for (const PatchUnit& unit : report.module.units) {
    for (const PatchedFunction& function : unit.functions) {
      units.push_back(absl::StrCat(unit.module, ":", function.name, ",", function.position));
    }
  }
  return units;
}

TEST_F(CompareTest, ASharedHeaderIsEditedInEachObjectAsThatWasBuiltFromIt) {
  MakeUsualProgram();
  // The module is newer: its header has one more line, and it has a static twice.
  const std::string unit =
      "#include \"shape.h\"\n__attribute__((noinline)) static int part(int v) {"
      " return square(v); }\nint NAME(int v) { return part(v); }\n";
  MakeProgram({{"shape.h", absl::StrCat("int only_in_the_module(void);\n", kHeader)},
               {"one.c", Replaced(unit, "NAME", "one")},
               {"two.c", Replaced(unit, "NAME", "two")}},
              "plugin");
  Write("fix.patch",
        "--- a/shape.h\n+++ b/shape.h\n@@ -3 +3 @@\n"
        "-static inline int square(int v) { return v * v + 7; }\n"
        "+static inline int square(int v) { return v * v + 8; }\n");
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(edits.notes(), IsEmpty());
  const BuildReport report = Finish(edits);
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(ModulesAndUnits(report),
              UnorderedElementsAre(":area,1", ":norm,1", "plugin:part,1", "plugin:part,2"));
}

TEST_F(CompareTest, ASourceOfTwoObjectsIsAmbiguousUnlessItIsTheSame) {
  std::filesystem::create_directory(folder_ + "/a");
  std::filesystem::create_directory(folder_ + "/b");
  MakeProgram({{"a/unit.c", "int f(int a) { return a; }\n"}});
  MakeProgram({{"b/unit.c", "int f(int a) { return a; }\n"}}, "plugin");
  Write("fix.patch",
        "--- unit.c\n+++ unit.c\n@@ -1 +1 @@\n-int f(int a) { return a; }\n"
        "+int f(int a) { return a + 1; }\n");
  SourceEdits unclear(bases_);
  EXPECT_THAT(std::string(Std(unclear.AddDiff(folder_ + "/fix.patch", {}).message())),
              HasSubstr("MEND-E0008"));
  Write("clear.patch",
        "--- b/unit.c\n+++ b/unit.c\n@@ -1 +1 @@\n-int f(int a) { return a; }\n"
        "+int f(int a) { return a + 1; }\n");
  SourceEdits edits(bases_);
  SourceEdits::DiffOptions options;
  options.strip = 0;
  ASSERT_TRUE(edits.AddDiff(folder_ + "/clear.patch", options).ok());
  EXPECT_THAT(ModulesAndUnits(Finish(edits)), ElementsAre("plugin:f,1"));
}

TEST_F(CompareTest, OfSourcesThatEndAlikeADiffIsForTheOneThatItApplies) {
  std::filesystem::create_directory(folder_ + "/lib");
  MakeProgram(
      {{"unit.c", "int f(int a) { return a; }\n"}, {"lib/unit.c", "int g(int a) { return a; }\n"}});
  const auto make = [this](const std::string& function) {
    const std::string line = "int " + function + "(int a) { return a";
    Write("fix.patch",
          "--- a/unit.c\n+++ b/unit.c\n@@ -1 +1 @@\n-" + line + "; }\n+" + line + " + 1; }\n");
    return folder_ + "/fix.patch";
  };
  SourceEdits upper(bases_);
  ASSERT_TRUE(upper.AddDiff(make("f"), {}).ok());
  EXPECT_THAT(ModulesAndUnits(Finish(upper)), ElementsAre(":f,1"));
  SourceEdits lower(bases_);
  ASSERT_TRUE(lower.AddDiff(make("g"), {}).ok());
  EXPECT_THAT(ModulesAndUnits(Finish(lower)), ElementsAre(":g,1"));
  SourceEdits neither(bases_);
  const std::string refusal(Std(neither.AddDiff(make("h"), {}).message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0008"));
  EXPECT_THAT(refusal, HasSubstr("none of which it applies to"));
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
