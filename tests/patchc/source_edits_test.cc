// What diffs and edited files are taken for: which sources of the program, and what is refused or
// warned of before anything is compared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "patchc/sources/source_edits.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using SourceEditsTest = CompareTest;

TEST_F(SourceEditsTest, NormalizesPathsAsTheLibraryDoes) {
  for (const char* path : {"/a/b.h",  "/a/.b/..c/...", "/a//b",    "//a",    "/a/./b",
                           "/a/../b", "/a/.",          "/a/..",    "/a/...", "/",
                           "/.",      "a/b",           "./a",      "../a",   "",
                           ".",       "/a/b/",         "/a/.../b", "/..b",   "/a.b/c.."}) {
    EXPECT_EQ(SourceEdits::Normalized("/at/home", path),
              (std::filesystem::path("/at/home") / path).lexically_normal().string())
        << path;
  }
}

TEST_F(SourceEditsTest, DiffOfASeriesAppliesInOrderAndSkipsForeignFiles) {
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

TEST_F(SourceEditsTest, RefusesToEditAHeaderOfWhichTheBuildMadeACopy) {
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

TEST_F(SourceEditsTest, RefusesADiffOfAHeaderOfWhichTheProgramReadsACopyAlone) {
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

TEST_F(SourceEditsTest, RefusesToEditOneOfTwoNamesOfAFile) {
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

TEST_F(SourceEditsTest, AUnitThatADiffAddsIsWarnedOfUnlessItIsIncluded) {
  const std::string part = "int part(int n) { return n; }\n";
  MakeProgram({{"part.c", part}});
  const std::string added = "int more(int n) { return n + 1; }\n";
  // As git writes it, and as `diff -N` does.
  for (const std::string head : {"--- /dev/null\n", "--- old/more.c\t1970-01-01\n"}) {
    const std::string more = absl::StrCat(head, "+++ new/more.c\n@@ -0,0 +1 @@\n+", added);
    const std::string test = "--- /dev/null\n+++ new/tests/part.c\n@@ -0,0 +1 @@\n+int test;\n";
    const auto warnings = [&](const std::string& line) {
      Write("fix.patch", absl::StrCat("--- old/part.c\n+++ new/part.c\n@@ -1 +1,2 @@\n ", part, "+",
                                      line, "\n", more, test));
      SourceEdits edits(bases_);
      EXPECT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
      EXPECT_THAT(edits.notes(), IsEmpty());
      return edits.NewUnitWarnings();
    };
    EXPECT_THAT(warnings("int other;"),
                ElementsAre(AllOf(HasSubstr("/more.c: is new, and nothing of it is in the patch"),
                                  HasSubstr("let a source that it edits include it"))));
    EXPECT_THAT(warnings("#include \"more.c\""), IsEmpty());
  }
}

// As `git diff -M -C` writes it, and `git log -p` where the user has set that.
TEST_F(SourceEditsTest, FilesThatGitRenamesOrCopiesAreThereUnderTheirNewNames) {
  MakeUsualProgram();
  const std::string edit_of_main =
      "diff --git a/main.c b/main.c\n--- a/main.c\n+++ b/main.c\n@@ -1 +1 @@\n-#include "
      "\"shape.h\"\n"
      "+#include \"form.h\"\n";
  const std::string edit_of_shape =
      "diff --git a/shape.c b/shape.c\n--- a/shape.c\n+++ b/shape.c\n@@ -1 +1 @@\n"
      "-#include \"shape.h\"\n+#include \"form.h\"\n";
  const std::string unchanged = "similarity index 100%\nrename from shape.h\nrename to form.h\n";
  Write("renamed.patch",
        absl::StrCat("diff --git a/shape.h b/form.h\n", unchanged, edit_of_main, edit_of_shape));
  SourceEdits renamed(bases_);
  ASSERT_TRUE(renamed.AddDiff(folder_ + "/renamed.patch", {}).ok());
  EXPECT_THAT(renamed.notes(), IsEmpty());
  EXPECT_THAT(Functions(Finish(renamed)), IsEmpty()) << "nothing changes";
  // What is no source and only gets another name: nothing is generated anew, nothing is missed.
  Write("grammar.patch",
        absl::StrCat("diff --git a/shape.y b/form.y\nrename from shape.y\nrename to form.y\n"
                     "diff --git a/other.h b/another.h\nrename from other.h\nrename to another.h\n",
                     "diff --git a/shape.h b/form.h\n", unchanged, edit_of_main, edit_of_shape));
  SourceEdits others(bases_);
  const absl::Status added = others.AddDiff(folder_ + "/grammar.patch", {});
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_THAT(others.notes(), IsEmpty());
  EXPECT_TRUE(others.Check().ok());
  // A copy is one of the file as it was, and that stays as it is but for its own hunks.
  const std::string first = std::string(kHeader).substr(0, std::string(kHeader).find('\n') + 1);
  const std::string head = absl::StrCat("@@ -1 +1,2 @@\n ", first);
  Write("copied.patch",
        absl::StrCat("diff --git a/shape.h b/shape.h\n--- a/shape.h\n+++ b/shape.h\n", head,
                     "+#define OF_SHAPE 1\n"
                     "diff --git a/shape.h b/form.h\nsimilarity index 90%\ncopy from shape.h\n"
                     "copy to form.h\n--- a/shape.h\n+++ b/form.h\n",
                     head, "+#define OF_FORM 1\n", edit_of_main));
  SourceEdits copied(bases_);
  ASSERT_TRUE(copied.AddDiff(folder_ + "/copied.patch", {}).ok());
  const auto edited = copied.Edited(0);
  ASSERT_TRUE(edited.contains(folder_ + "/form.h"));
  EXPECT_THAT(edited.at(folder_ + "/form.h").new_text,
              AllOf(HasSubstr("OF_FORM"), Not(HasSubstr("OF_SHAPE"))));
  EXPECT_THAT(edited.at(folder_ + "/shape.h").new_text,
              AllOf(HasSubstr("OF_SHAPE"), Not(HasSubstr("OF_FORM"))));
}

// A unit that git renames is compiled by the command that the program has of it.
TEST_F(SourceEditsTest, AUnitThatGitRenamesIsEditedUnderItsOldName) {
  MakeUsualProgram();
  Write(
      "fix.patch",
      "diff --git a/shape.c b/form.c\nsimilarity index 90%\nrename from shape.c\nrename to form.c\n"
      "--- a/shape.c\n+++ b/form.c\n@@ -4 +4 @@\n-int helper(int a) { return a ^ 5; }\n"
      "+int helper(int a) { return a ^ 6; }\n");
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(Functions(Finish(edits)), ElementsAre("helper changed"));
}

TEST_F(SourceEditsTest, LaterDiffsEditWhatEarlierOnesCreate) {
  const std::string part = "int part(int n) { return n; }\n";
  MakeProgram({{"part.c", part}});
  const std::string first =
      absl::StrCat("--- old/part.c\n+++ new/part.c\n@@ -1 +1,2 @@\n+#include \"more.h\"\n ", part,
                   "--- /dev/null\n+++ new/more.h\n@@ -0,0 +1 @@\n+#define MORE 1\n");
  const std::string second =
      "--- old/more.h\n+++ new/more.h\n@@ -1 +1 @@\n-#define MORE 1\n+#define MORE 2\n";
  const std::string header = folder_ + "/more.h";
  Write("first.patch", first);
  Write("second.patch", second);
  Write("both.patch", first + second);
  for (const std::vector<std::string>& series :
       {std::vector<std::string>{"first.patch", "second.patch"}, {"both.patch"}}) {
    SourceEdits edits(bases_);
    for (const std::string& diff : series) {
      ASSERT_TRUE(edits.AddDiff(absl::StrCat(folder_, "/", diff), {}).ok());
    }
    EXPECT_THAT(edits.notes(), IsEmpty());
    const std::map<std::string, SourceEdit> edited = edits.Edited(0);
    ASSERT_TRUE(edited.contains(header));
    EXPECT_EQ(edited.at(header).new_text, "#define MORE 2\n");
  }
}

TEST_F(SourceEditsTest, RefusesToSkipASourceThatAnEarlierDiffWouldHaveMade) {
  const std::string part = "int part(int n) { return n; }\n";
  MakeProgram({{"part.c", part}});
  const std::string edit = absl::StrCat("--- old/part.c\n+++ new/part.c\n@@ -1 +1,2 @@\n ", part,
                                        "+int other;\n--- old/tool.c\n+++ new/tool.c\n"
                                        "@@ -1 +1 @@\n-int tool;\n+long tool;\n");
  Write("fix.patch", edit);
  SourceEdits missing(bases_);
  EXPECT_THAT(std::string(missing.AddDiff(folder_ + "/fix.patch", {}).message()),
              AllOf(HasSubstr("MEND-E0006"), HasSubstr("tool.c, which it changes, is not there")));
  // In a diff of its own, behind one that says where the sources are.
  Write("first.patch", edit.substr(0, edit.find("--- old/tool.c")));
  Write("second.patch", edit.substr(edit.find("--- old/tool.c")));
  SourceEdits series(bases_);
  ASSERT_TRUE(series.AddDiff(folder_ + "/first.patch", {}).ok());
  EXPECT_FALSE(series.AddDiff(folder_ + "/second.patch", {}).ok());
  // Another program's source.
  Write("tool.c", "int tool;\n");
  SourceEdits other(bases_);
  ASSERT_TRUE(other.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(other.notes(), ElementsAre(HasSubstr("tool.c is no part of the program")));
}

TEST_F(SourceEditsTest, RefusesACompileErrorWithClangsWords) {
  MakeUsualProgram();
  EXPECT_THAT(
      OnlyRefusal(Build({{"main.c", Replaced(kMain, "calls++;", "calls+++;")}})),
      AllOf(HasSubstr("MEND-E0001"), HasSubstr("main.c:11:"), HasSubstr("error: expected")));
}

TEST_F(SourceEditsTest, ACompileErrorForWantOfAGeneratedHeaderSaysSo) {
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

TEST_F(SourceEditsTest, RefusesSourcesThatAreUnknownOrUnclear) {
  MakeUsualProgram();
  Write("edited/other.c", "int x;\n");
  SourceEdits edits(bases_);
  EXPECT_THAT(std::string(Std(edits.AddFile(folder_ + "/edited/other.c").message())),
              HasSubstr("MEND-E0007"));
}

TEST_F(SourceEditsTest, ASharedHeaderIsEditedInEachObjectAsThatWasBuiltFromIt) {
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

TEST_F(SourceEditsTest, ASourceOfTwoObjectsIsAmbiguousUnlessItIsTheSame) {
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

TEST_F(SourceEditsTest, OfSourcesThatEndAlikeADiffIsForTheOneThatItApplies) {
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

// Where there was none, or another one was found until now.
TEST_F(SourceEditsTest, AHeaderThatADiffAddsIsFoundByWhoAsksForIt) {
  std::filesystem::create_directory(folder_ + "/include");
  flag_ = "-Iinclude";
  const std::string include = "#include \"names.h\"\nint hidden(int x) { return x + N; }\n";
  MakeProgram({{"include/names.h", "#define N 1\n"},
               {"asks.c",
                "#if __has_include(\"extra.h\")\n#include \"extra.h\"\n#else\n#define M 1\n#endif\n"
                "int asks(int x) { return x + M; }\n"},
               {"hidden.c", include},
               {"main.c", "int main(void) { return 0; }\nint edited(int x) { return x; }\n"}});
  const auto added = [this](const std::string& name, const std::string& text) {
    Write(
        "fix.patch",
        absl::StrCat("--- a/main.c\n+++ b/main.c\n@@ -1,2 +1,2 @@\n int main(void) { return 0; }\n"
                     "-int edited(int x) { return x; }\n+int edited(int x) { return x + 1; }\n",
                     "--- /dev/null\n+++ b/", name, "\n@@ -0,0 +1 @@\n+", text, "\n"));
    SourceEdits edits(bases_);
    EXPECT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    return Functions(Finish(edits));
  };
  EXPECT_THAT(added("extra.h", "#define M 1000"),
              UnorderedElementsAre("asks changed", "edited changed"));
  EXPECT_THAT(added("names.h", "#define N 1000"),
              UnorderedElementsAre("hidden changed", "edited changed"));
  EXPECT_THAT(added("other.h", "#define N 1000"), ElementsAre("edited changed"));
}

// A package of the system was updated after the program was built.
TEST_F(SourceEditsTest, HeadersOfTheSystemHaveToMakeTheSameOfWhatThereIs) {
  std::filesystem::create_directory(folder_ + "/system");
  flag_ = "-isystemsystem";
  const std::string header = "struct entry { int a, b; };\nint take(struct entry *);\n";
  const std::string source =
      "#include <library.h>\nint reads(struct entry *e) { return e->b; }\n"
      "int edited(int x) { return x; }\n";
  MakeProgram({{"system/library.h", header}, {"a.c", source}});
  const std::string edit = Replaced(source, "return x;", "return x + 1;");
  EXPECT_THAT(Build({{"a.c", edit}}).warnings, IsEmpty());
  Write("system/library.h", header + "int more(void);\n");
  const BuildReport harmless = Build({{"a.c", edit}});
  EXPECT_THAT(Functions(harmless), ElementsAre("edited changed"));
  EXPECT_THAT(harmless.warnings, ElementsAre(HasSubstr("library.h has changed since")));
  Write("system/library.h", Replaced(header, "int a, b;", "int a, c, b;"));
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              AllOf(HasSubstr("MEND-E0003"), HasSubstr("library.h has changed since a.c"),
                    HasSubstr("reads")));
}

// A macro makes names of line numbers, which a line that is new has in common with an old one.
TEST_F(SourceEditsTest, NewLinesDoNotTakeTheNamesThatMacrosMakeOfOldOnes) {
  const std::string source =
      "#define NAME2(a, b) a##b\n#define NAME(a, b) NAME2(a, b)\n"
      "#define ADD(value) static int NAME(sum, __LINE__); s += NAME(sum, __LINE__) += value\n"
      "int f(int r) {\n  int s = 0;\n  ADD(r);\n  ADD(r * 10);\n  return s;\n}\n";
  MakeProgram({{"a.c", source}});
  const BuildReport report =
      Build({{"a.c", Replaced(source, "  ADD(r);\n", "  ADD(5);\n  ADD(6);\n  ADD(r);\n")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), ElementsAre("f changed"));
  ASSERT_EQ(report.module.units.size(), 1u);
  EXPECT_EQ(report.module.units.front().new_data.size(), 2u) << "the old ones go on";
}

}  // namespace
}  // namespace mend::patchc
