// Files of a diff that the program's build makes sources from, or reads: what a patch would be
// without is refused, or warned of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using BuildInputsTest = CompareTest;

// A diff with a changed file that is no source of the program.
std::string DiffWith(const std::string& foreign, const std::string& added) {
  return absl::StrCat(
      "--- a/shape.c\n+++ b/shape.c\n@@ -4 +4 @@\n-int helper(int a) { return a ^ 5; }\n"
      "+int helper(int a) { return a ^ 6; }\n"
      "--- a/",
      foreign, "\n+++ b/", foreign, "\n@@ -1 +1 @@\n-x\n+", added, "\n");
}

TEST_F(BuildInputsTest, RefusesADiffOfWhatASourceIsGeneratedFrom) {
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
TEST_F(BuildInputsTest, RefusesADiffOfWhatASourceWithoutLineDirectivesIsGeneratedFrom) {
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

TEST_F(BuildInputsTest, RefusesADiffOfWhatAHeaderIsFilledInFrom) {
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

TEST_F(BuildInputsTest, RefusesADiffOfWhatAHeadSaysThatASourceIsGeneratedFrom) {
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

TEST_F(BuildInputsTest, WhatAnotherProgramGeneratesIsNotTheSource) {
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

TEST_F(BuildInputsTest, RefusesADiffOfWhatAnIncludedTextIsMadeOf) {
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

TEST_F(BuildInputsTest, RefusesADiffOfAFileInTheFolderThatASourceIsGeneratedFrom) {
  // As valkey's build, which makes its table of commands of a file for each.
  Write("commands.def", "/* Automatically generated by code.py, do not edit. */\n 1, 2,\n");
  MakeProgram({{"arity.h", "/* By hand. Do not change the order. */\n#define ARITY 1\n"},
               {"x.c",
                "#include \"arity.h\"\nconst char table[] = {\n#include \"commands.def\"\n};\n"
                "int x(int i) { return table[i] + ARITY; }\n"}});
  const auto check = [this](const std::string& file) {
    Write("fix.patch", absl::StrCat("--- a/x.c\n+++ b/x.c\n@@ -5 +5 @@\n"
                                    "-int x(int i) { return table[i] + ARITY; }\n"
                                    "+int x(int i) { return table[i] - ARITY; }\n--- a/",
                                    file, "\n+++ b/", file, "\n@@ -1 +1 @@\n-x\n+y\n"));
    SourceEdits edits(bases_);
    EXPECT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
    return std::string(Std(edits.Check().message()));
  };
  EXPECT_THAT(check("commands/get.json"),
              HasSubstr("commands.def is generated from a/commands/get.json"));
  for (const std::string other :
       {"commands/README.md", "tests/commands/get.json", "others/get.json", "arity/get.json"}) {
    EXPECT_EQ(check(other), "") << other;
  }
}

TEST_F(BuildInputsTest, RefusesANewVariableThatTheBuildRegisters) {
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

TEST_F(BuildInputsTest, WarnsOfMacrosThatTheBuildWouldDefine) {
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
TEST_F(BuildInputsTest, AScriptThatADiffAddsUsesNoMacros) {
  MakeUsualProgram();
  Write("fix.patch", absl::StrCat(DiffWith("old/run.py", "socket(AF_INET)"),
                                  "--- /dev/null\n+++ b/new/run.py\n@@ -0,0 +1,2 @@\n"
                                  "+socket(AF_INET)\n+first, _ = pair\n"));
  SourceEdits edits(bases_);
  ASSERT_TRUE(edits.AddDiff(folder_ + "/fix.patch", {}).ok());
  EXPECT_THAT(edits.MacroWarnings(), IsEmpty());
}

}  // namespace
}  // namespace mend::patchc
