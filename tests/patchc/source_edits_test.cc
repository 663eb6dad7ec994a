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
#include "patchc/macro_values.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

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

// As re2c -i and bison -l write them, and as php releases them.
TEST_F(CompareTest, RefusesADiffOfWhatASourceWithoutLineDirectivesIsGeneratedFrom) {
  const std::string parser = "int parse(int x) { return x + 1; }\n";
  MakeProgram({{"shape.h", kHeader},
               {"parse.h", "int parse(int);\n"},
               {"main.c", kMain},
               {"shape.c", kShape},
               {"parse.tab.c", "#include \"parse.h\"\n" + parser}});
  for (const std::string grammar : {"parse.y", "parse.re"}) {
    Write("fix.patch", DiffWith(grammar, "y"));
    SourceEdits edits(bases_);
    ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    const std::string refusal(Std(edits.Check().message()));
    EXPECT_THAT(refusal, HasSubstr("MEND-E0010"));
    EXPECT_THAT(refusal, HasSubstr("parse.tab.c is generated from a/" + grammar));
    EXPECT_THAT(refusal, Not(HasSubstr("parse.h")));
    Write("edited/parse.tab.c", Replaced(parser, "x + 1", "x + 2"));
    ASSERT_TRUE(edits.AddFile(folder_ + "/edited/parse.tab.c").ok());
    EXPECT_TRUE(edits.Check().ok());
  }
  // A grammar of something else, and what is no grammar.
  for (const std::string other : {"pars.y", "tools/parse.y", "parse.phpt"}) {
    Write("other.patch", DiffWith(other, "y"));
    SourceEdits others(bases_);
    ASSERT_TRUE(others.AddDiff(folder_ + "/other.patch", {}).ok());
    EXPECT_TRUE(others.Check().ok()) << other;
  }
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
  // As config.status begins it.
  const std::string header =
      absl::StrCat("/* shape.h.  Generated from shape.h.in by configure.  */\n", kHeader);
  MakeProgram({{"shape.h", header}, {"main.c", kMain}, {"shape.c", kShape}});
  // ProFTPD's fix of CVE-2023-48795 adds an option to mod_sftp.h.in.
  Write("fix.patch", DiffWith("shape.h.in", "#define LIMIT 7"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  const std::string refusal(Std(edits.Check().message()));
  EXPECT_THAT(refusal, HasSubstr("MEND-E0010"));
  EXPECT_THAT(refusal, HasSubstr("shape.h is generated from a/shape.h.in"));
  Write("edited/shape.h", absl::StrCat(header, "#define LIMIT 7\n"));
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

TEST_F(CompareTest, RefusesADiffOfWhatAHeadSaysThatASourceIsGeneratedFrom) {
  // As PostgreSQL's build, whose scripts write no line directives.
  MakeProgram(
      {{"codes.h", "/* autogenerated from src/utils/codes.txt, do not edit */\n#define CODE 4\n"},
       {"rows_d.h",
        "/*\n * DO NOT EDIT THIS FILE!\n *\n * It has been GENERATED by"
        " src/catalog/genrows.pl\n */\n#define ROWS 2\n"},
       {"table.h", "/* By hand. Do not change the order. */\n#define TABLE 1\n"},
       {"a.c",
        "#include \"codes.h\"\n#include \"rows_d.h\"\n#include \"table.h\"\n"
        "int a(void) { return CODE + ROWS + TABLE; }\n"}});
  const auto check = [this](const std::string& file) {
    const std::string diff = absl::StrCat(
        "--- a/a.c\n+++ b/a.c\n@@ -4 +4 @@\n-int a(void) { return CODE + ROWS + TABLE; }\n"
        "+int a(void) { return CODE - ROWS + TABLE; }\n--- a/",
        file, "\n+++ b/", file, "\n@@ -1 +1 @@\n-x\n+y\n");
    Write("fix.patch", diff);
    SourceEdits edits(bases_);
    EXPECT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    return std::string(Std(edits.Check().message()));
  };
  EXPECT_THAT(check("src/utils/codes.txt"),
              HasSubstr("codes.h is generated from a/src/utils/codes.txt"));
  EXPECT_THAT(check("src/catalog/genrows.pl"), HasSubstr("rows_d.h is generated from"));
  EXPECT_THAT(check("src/include/rows.dat"), HasSubstr("rows_d.h is generated from"));
  // What has another name, or is no input of a build.
  for (const std::string& other :
       {"src/codes.txt.old", "README.txt", "src/row.dat", "src/table.dat", "tests/rows.dat",
        "src/test/sql/rows.sql", "src/rows.pl"}) {
    EXPECT_EQ(check(other), "") << other;
  }
}

TEST_F(CompareTest, WhatAnotherProgramGeneratesIsNotTheSource) {
  // As LevelDB's block.cc says of block_builder.cc.
  MakeProgram({{"shape.h", absl::StrCat("/* Describes the shapes generated by maker.c. */\n"
                                        "/* Generated by tables.c. */\n",
                                        kHeader)},
               {"main.c", kMain},
               {"shape.c", kShape}});
  const auto check = [this](const std::string& file) {
    Write("fix.patch", DiffWith(file, "y"));
    SourceEdits edits(bases_);
    EXPECT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    return std::string(Std(edits.Check().message()));
  };
  EXPECT_EQ(check("tools/maker.c"), "");
  EXPECT_THAT(check("tools/tables.c"), HasSubstr("shape.h is generated from a/tools/tables.c"));
}

TEST_F(CompareTest, RefusesADiffOfWhatAnIncludedTextIsMadeOf) {
  // As jq's build, which writes the definitions in its own language as numbers.
  Write("builtin.inc", " 0144, 0145,\n");
  MakeProgram({{"init.lua.h", "0x78, 0x79,\n"},
               {"a.c",
                "const char text[] = {\n#include \"builtin.inc\"\n#include \"init.lua.h\"\n};\n"
                "int a(int x) { return text[x]; }\n"}});
  const auto check = [this](const std::string& file) {
    Write("fix.patch", absl::StrCat("--- a/a.c\n+++ b/a.c\n@@ -5 +5 @@\n"
                                    "-int a(int x) { return text[x]; }\n"
                                    "+int a(int x) { return text[x + 1]; }\n--- a/",
                                    file, "\n+++ b/", file, "\n@@ -1 +1 @@\n-x\n+y\n"));
    SourceEdits edits(bases_);
    EXPECT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    return std::string(Std(edits.Check().message()));
  };
  EXPECT_THAT(check("builtin.jq"), HasSubstr("builtin.inc is generated from a/builtin.jq"));
  EXPECT_THAT(check("init.lua"), HasSubstr("init.lua.h is generated from a/init.lua"));
  for (const std::string other : {"tests/builtin.jq", "builtin.md", "init.sh", "a.jq", "init.jq"}) {
    EXPECT_EQ(check(other), "") << other;
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
TEST(MacroValuesTest, AreNumbersThatBothTextsDefine) {
  const auto changed = [](const std::string& old_text, const std::string& new_text) {
    std::vector<std::string> found;
    for (const ChangedMacro& macro : ChangedMacroValues(old_text, new_text)) {
      found.push_back(absl::StrCat(macro.name, ": ", macro.old_value, ", ", macro.new_value));
    }
    return found;
  };
  EXPECT_THAT(changed("#define A 4\n#define B (1 << 3)\n  #  define C 'c'\n#define D SIZE*2\n"
                      "#define SAME 7\n#define GONE 1\n",
                      "#define A 5 /* more */\n#define B (1 << \\\n 4)\n#define C 'd'\n"
                      "#define D SIZE*3\n#define SAME 7 // as ever\n#define COME 1\n"),
              ElementsAre("A: 4, 5", "B: (1 << 3), (1 << 4)", "C: 'c', 'd'", "D: SIZE*2, SIZE*3"));
  // Text, code and what has parameters; in a comment, a string, or not at all.
  EXPECT_THAT(
      changed("#define NAME \"a\"\n#define CALL run(1)\n#define F(x) 1\n#define EMPTY\n"
              "// #define X 1\n/*\n#define Y 1\n*/\nconst char *s = \"\\\n#define Z 1\";\n",
              "#define NAME \"b\"\n#define CALL run(2)\n#define F(x) 2\n#define EMPTY\n"
              "// #define X 2\n/*\n#define Y 2\n*/\nconst char *s = \"\\\n#define Z 2\";\n"),
      IsEmpty());
  // For two platforms, the second of which changes.
  EXPECT_THAT(changed("#ifdef _WIN32\n#define N 1\n#else\n#define N 2\n#endif\n",
                      "#ifdef _WIN32\n#define N 1\n#else\n#define N 3\n#endif\n"),
              ElementsAre("N: 2, 3"));
  EXPECT_THAT(changed("", "#define N"), IsEmpty());
  EXPECT_THAT(changed("#define", "#define"), IsEmpty());
  EXPECT_THAT(changed("#", "# 1 \"a\"\n"), IsEmpty());
}

TEST_F(CompareTest, WarnsOfAMacroThatStandsForAnotherNumber) {
  const std::string header = "#define CLOSING 4\n#define UNUSED 1\n";
  const std::string source =
      "#include \"flags.h\"\nint closing(int flags) { return (flags & CLOSING) != 0; }\n";
  MakeProgram({{"flags.h", header}, {"flags.c", source}});
  const BuildReport report = Build({{"flags.h", Replaced(header, "4", "8")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), ElementsAre("closing changed"));
  EXPECT_THAT(report.warnings,
              ElementsAre(HasSubstr("flags.h: 'CLOSING' is 8 in the patch, and 4 in the running")));
  // Nothing of the program depends on it.
  const BuildReport unused = Build({{"flags.h", Replaced(header, "1", "2")}});
  EXPECT_TRUE(unused.no_change);
  EXPECT_THAT(unused.warnings, IsEmpty());
}

TEST_F(CompareTest, AScriptThatADiffAddsUsesNoMacros) {
  MakeUsualProgram();
  Write("fix.patch", absl::StrCat(DiffWith("old/run.py", "socket(AF_INET)"),
                                  "--- /dev/null\n+++ b/new/run.py\n@@ -0,0 +1,2 @@\n"
                                  "+socket(AF_INET)\n+first, _ = pair\n"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(edits.MacroWarnings(), IsEmpty());
}

TEST_F(CompareTest, AUnitThatADiffAddsIsWarnedOfUnlessItIsIncluded) {
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
TEST_F(CompareTest, FilesThatGitRenamesOrCopiesAreThereUnderTheirNewNames) {
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
TEST_F(CompareTest, AUnitThatGitRenamesIsEditedUnderItsOldName) {
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

TEST_F(CompareTest, LaterDiffsEditWhatEarlierOnesCreate) {
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

TEST_F(CompareTest, RefusesToSkipASourceThatAnEarlierDiffWouldHaveMade) {
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

TEST_F(CompareTest, RefusesSourcesThatAreUnknownOrUnclear) {
  MakeUsualProgram();
  Write("edited/other.c", "int x;\n");
  SourceEdits edits(bases_);
  EXPECT_THAT(std::string(Std(edits.AddFile(folder_ + "/edited/other.c").message())),
              HasSubstr("MEND-E0007"));
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

}  // namespace
}  // namespace mend::patchc
