#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "patchc/sources/diff_file.h"
#include "patchc/sources/line_directives.h"
#include "patchc/sources/source_scan.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kOld[] = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";
constexpr char kDiff[] =
    "From: somebody\nSubject: a fix\n---\n src/x.c | 2 +-\n\n"
    "--- a/src/x.c\t2026-01-01\n+++ b/src/x.c\t2026-01-02\n"
    "@@ -3,5 +3,6 @@ context\n three\n four\n-five\n+FIVE\n+and a half\n six\n seven\n-- \n2.39\n";

std::string Apply(std::string_view contents, std::string_view diff_text) {
  const auto diff = ParseDiff(diff_text, "fix.patch");
  EXPECT_TRUE(diff.ok()) << diff.status();
  if (!diff.ok()) return {};
  const auto result = ApplyDiff(contents, diff->front(), "fix.patch");
  return result.ok() ? *result : std::string(result.status().message());
}

TEST(DiffFileTest, ReadsHeadersAndHunksOutOfAMail) {
  const auto diff = ParseDiff(kDiff, "fix.patch");
  ASSERT_TRUE(diff.ok()) << diff.status();
  ASSERT_THAT(*diff, SizeIs(1));
  EXPECT_EQ(diff->front().old_path, "a/src/x.c");
  EXPECT_EQ(diff->front().new_path, "b/src/x.c");
  EXPECT_THAT(diff->front().hunks, SizeIs(1));
}

TEST(DiffFileTest, AppliesExactly) {
  EXPECT_EQ(Apply(kOld, kDiff),
            "one\ntwo\nthree\nfour\nFIVE\nand a half\nsix\nseven\neight\nnine\n");
}

TEST(DiffFileTest, AppliesAtAnOffset) {
  EXPECT_EQ(Apply(absl::StrCat("zero\nzero\nzero\n", kOld), kDiff),
            "zero\nzero\nzero\none\ntwo\nthree\nfour\nFIVE\nand a half\nsix\nseven\neight\nnine\n");
}

TEST(DiffFileTest, TwoLinesOfContextMayDiffer) {
  EXPECT_EQ(Apply("one\ntwo\nTHREE\nFOUR\nfive\nSIX\nSEVEN\n", kDiff),
            "one\ntwo\nTHREE\nFOUR\nFIVE\nand a half\nSIX\nSEVEN\n");
}

TEST(DiffFileTest, WhatHasBeenAppliedIsNotAppliedElsewhere) {
  constexpr char kInsertion[] =
      "--- a/f\n+++ b/f\n@@ -2,6 +2,7 @@\n one\n two\n {\n+  check();\n }\n three\n four\n";
  const std::string before = "zero\none\ntwo\n{\n}\nthree\nfour\n";
  const std::string after = "zero\none\ntwo\n{\n  check();\n}\nthree\nfour\n";
  const std::string elsewhere = "five\nsix\n{\n}\nseven\n";
  EXPECT_EQ(Apply(before + elsewhere, kInsertion), after + elsewhere);
  const std::string message = Apply(after + elsewhere, kInsertion);
  EXPECT_THAT(message, HasSubstr("MEND-E0006"));
  EXPECT_THAT(message, HasSubstr("which has its lines already"));
}

TEST(DiffFileTest, LessContextIsToldOf) {
  const auto diff = ParseDiff(kDiff, "fix.patch");
  ASSERT_TRUE(diff.ok()) << diff.status();
  std::vector<std::string> notes;
  ASSERT_TRUE(ApplyDiff(kOld, diff->front(), "fix.patch", &notes).ok());
  EXPECT_THAT(notes, IsEmpty());
  const auto applied =
      ApplyDiff("one\ntwo\nTHREE\nfour\nfive\nsix\nSEVEN\n", diff->front(), "fix.patch", &notes);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(notes, ElementsAre(HasSubstr("hunk 1 of 1 applied to a/src/x.c:4 though lines around "
                                           "it differ (fuzz 1)")));
}

TEST(DiffFileTest, HunkThatDoesNotApplySaysWhere) {
  const std::string message = Apply("one\ntwo\nthree\nfour\n5\nsix\nseven\n", kDiff);
  EXPECT_THAT(message, HasSubstr("MEND-E0006"));
  EXPECT_THAT(message, HasSubstr("fix.patch:8: hunk 1 of 1 does not apply to a/src/x.c:3"));
}

TEST(DiffFileTest, MissingLastNewlineIsKept) {
  EXPECT_EQ(Apply("a\nb",
                  "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n"
                  "+c\n\\ No newline at end of file\n"),
            "a\nc");
}

TEST(DiffFileTest, InsertionWithoutContextGoesBehindItsLine) {
  EXPECT_EQ(Apply("a\nb\n", "--- a/f\n+++ b/f\n@@ -1,0 +2 @@\n+x\n"), "a\nx\nb\n");
}

TEST(DiffFileTest, CreatesAFile) {
  const auto diff = ParseDiff("--- /dev/null\n+++ b/new.h\n@@ -0,0 +1,2 @@\n+x\n+y\n", "d");
  ASSERT_TRUE(diff.ok());
  EXPECT_TRUE(diff->front().Creates());
  EXPECT_EQ(*ApplyDiff("", diff->front(), "d"), "x\ny\n");
}

TEST(DiffFileTest, RefusesWhatIsNoDiff) {
  EXPECT_THAT(std::string(ParseDiff("hello\n", "d").status().message()), HasSubstr("MEND-E0005"));
  EXPECT_FALSE(ParseDiff("--- a/f\n+++ b/f\n@@ -1,5 +1,5 @@\n a\n", "d").ok());
  EXPECT_FALSE(ParseDiff("--- a/f\n+++ b/f\n@@ nonsense @@\n a\n", "d").ok());
}

TEST(DiffFileTest, WhatWouldBeLeftOutIsRefused) {
  const std::string begin = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n";
  ASSERT_TRUE(ParseDiff(begin, "d").ok());
  for (const char* const rest :
       {"+d\n", "-d\n", "\n@@ -7,1 +7,1 @@\n-d\n+e\n",
        "diff --cc g\n--- a/g\n+++ b/g\n@@@ -1,1 -1,1 +1,1 @@@\n- x\n -y\n++z\n",
        "*** a/g\n--- b/g\n***************\n*** 1,1 ****\n! x\n--- 1,1 ----\n! y\n"}) {
    const auto diff = ParseDiff(begin + rest, "d");
    EXPECT_THAT(std::string(diff.status().message()), HasSubstr("MEND-E0005")) << rest;
  }
  // Mail, not changes.
  for (const char* const rest :
       {"-- \n2.39\n", "--\nme\n", "\n+1 from me\n", "***************\nme\n"}) {
    EXPECT_TRUE(ParseDiff(begin + rest, "d").ok()) << rest;
  }
}

TEST(DiffFileTest, ADiffInACommitsMessageIsNotTheCommits) {
  // As `git show` writes it: the message is indented, and quotes the patch.
  const std::string message =
      "commit bda750d2c6ae7c0f9f4d5a1c1f0b3f1e2d3c4b5a\nAuthor: me\n\n    A fix\n    \n"
      "    diff --git a/g b/g\n    --- a/g\n    +++ b/g\n    @@ -7,1 +7,1 @@\n    -d\n    +e\n\n";
  const std::string change = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-b\n+c\n\n";
  const auto diff = ParseDiff(message + change + message + change, "d");
  ASSERT_TRUE(diff.ok()) << diff.status();
  ASSERT_THAT(*diff, SizeIs(2));
  EXPECT_EQ(diff->front().old_path, "a/f");
  // Indented as a whole it is none of git's, and would be left out.
  EXPECT_FALSE(ParseDiff(change + "    --- a/g\n    +++ b/g\n    @@ -7,1 +7,1 @@\n", "d").ok());
  EXPECT_FALSE(ParseDiff(message + change + "    @@ -7,1 +7,1 @@\n", "d").ok());
}

TEST(DiffFileTest, LineNumbersBeyondAnyFileAreSearchedForOrRefusedAtOnce) {
  EXPECT_EQ(Apply("a\nb\n", "--- a/f\n+++ b/f\n@@ -2000000000,2 +7,2 @@\n a\n-b\n+c\n"), "a\nc\n");
  EXPECT_THAT(Apply("a\nb\n", "--- a/f\n+++ b/f\n@@ -2000000000,2 +7,2 @@\n a\n-x\n+c\n"),
              HasSubstr("MEND-E0006"));
  for (const char* const number :
       {"9223372036854775807", "18446744073709551615", "99999999999999999999"}) {
    EXPECT_FALSE(
        ParseDiff(absl::StrCat("--- a/f\n+++ b/f\n@@ -", number, ",1 +1,1 @@\n-a\n+b\n"), "d")
            .ok());
  }
}

TEST(DiffFileTest, QuotedPathsAreRead) {
  const auto diff = ParseDiff(
      "--- \"a/caf\\303\\251 \\\"x\\\\\\t.c\"\n+++ \"b/x.c\"\n@@ -1 +1 @@\n-a\n+b\n", "d");
  ASSERT_TRUE(diff.ok()) << diff.status();
  EXPECT_EQ(diff->front().old_path, "a/caf\xc3\xa9 \"x\\\t.c");
}

TEST(DiffFileTest, StripsComponents) {
  EXPECT_EQ(StripComponents("a/src/x.c", 1), "src/x.c");
  EXPECT_EQ(StripComponents("a//src/x.c", 1), "src/x.c");
  EXPECT_EQ(StripComponents("x.c", 1), "");
}

TEST(CompareLinesTest, FindsRegions) {
  EXPECT_THAT(CompareLines(kOld, kOld), IsEmpty());
  const auto regions = CompareLines("a\nb\nc\nd\ne\n", "a\nB\nB2\nc\ne\nf\n");
  ASSERT_THAT(regions, SizeIs(3));
  EXPECT_EQ(regions[0].old_begin, 1u);
  EXPECT_EQ(regions[0].new_end, 3u);
  EXPECT_EQ(regions[1].old_begin, 3u);
  EXPECT_EQ(regions[1].old_end, 4u);
  EXPECT_EQ(regions[1].new_begin, regions[1].new_end);
  EXPECT_EQ(regions[2].new_begin, 5u);
}

TEST(KeepLineNumbersTest, EqualTextStaysAsItIs) { EXPECT_EQ(KeepLineNumbers(kOld, kOld), kOld); }

TEST(KeepLineNumbersTest, RestoresTheNumberBehindAnInsertion) {
  EXPECT_EQ(KeepLineNumbers("int a;\nint b;\nint c;\n", "int a;\nint x;\nint b;\nint c;\n"),
            "int a;\nint x;\n#line 2\nint b;\nint c;\n");
}

TEST(KeepLineNumbersTest, NeverInsideCommentsStringsParenthesesOrContinuedLines) {
  const std::string old_text =
      "int a;\n/* x\n y */ int f(int p,\n int q);\n#define M(x) \\\n  x\nint b;\n";
  EXPECT_EQ(KeepLineNumbers(old_text, "int a; int z;\n\n" + old_text.substr(7)),
            "int a; int z;\n\n#line 2\n" + old_text.substr(7));
  // The first unchanged line is inside of the comment: the directive waits for its end.
  const std::string edited = "int a;\n/* x\n inserted\n y */ int f(int p,\n int q);\nint b;\n";
  EXPECT_EQ(KeepLineNumbers("int a;\n/* x\n y */ int f(int p,\n int q);\nint b;\n", edited),
            "int a;\n/* x\n inserted\n y */ int f(int p,\n int q);\n#line 5\nint b;\n");
}

TEST(KeepLineNumbersTest, NewLinesMayHaveNumbersApart) {
  EXPECT_EQ(KeepLineNumbers("a;\nb;\nc;\n", "a;\nx;\ny;\nb;\nc;\n", NewLines::kApart),
            "a;\n#line 5\nx;\ny;\n#line 2\nb;\nc;\n");
}

TEST(KeepLineNumbersTest, RepeatsBehindBranchesThatMayHaveBeenSkipped) {
  EXPECT_EQ(KeepLineNumbers("a;\n#if X\nb;\n#else\nc;\n#endif\nd;\n",
                            "a;\n#if X\nnew;\nb;\n#else\nc;\n#endif\nd;\n"),
            "a;\n#if X\nnew;\n#line 3\nb;\n#else\n#line 5\nc;\n#endif\n#line 7\nd;\n");
}

TEST(KeepLineNumbersTest, FollowsDirectivesOfTheTextItself) {
  EXPECT_EQ(KeepLineNumbers("#line 100\nint a;\nint b;\n", "#line 100\nint a;\nint x;\nint b;\n"),
            "#line 100\nint a;\nint x;\n#line 101\nint b;\n");
}

std::string NameAt(const SourceScan& scan, size_t line) {
  const FunctionSpan* const function = scan.FunctionAt(line);
  return function == nullptr ? "" : function->name;
}

TEST(SourceScanTest, FindsFunctions) {
  const SourceScan scan = ScanSource(
      "#include <x.h>\n"
      "static const int table[] = {1, 2};\n"
      "static int helper(int a, struct s *b) {\n  if (a) {\n    return 1;\n  }\n  return 0;\n}\n"
      "namespace n {\nstruct S : B {\n  int m() const { return 1; }\n};\n"
      "int S::far(int x) {\n  return x;\n}\n}\n"
      "LUAI_FUNC int (paren)(int x)\n{\n  return x;\n}\n");
  EXPECT_EQ(NameAt(scan, 1), "");
  EXPECT_EQ(NameAt(scan, 3), "helper");
  EXPECT_EQ(NameAt(scan, 10), "m");
  EXPECT_EQ(NameAt(scan, 13), "far");
  EXPECT_EQ(NameAt(scan, 18), "paren");
}

TEST(SourceScanTest, MacrosWithArgumentsAreNotTheFunction) {
  const SourceScan scan = ScanSource(
      "static int v_matchproto_(req_state_f)\ncnt_recv(struct req *r)\n{\n  return 1;\n}\n"
      "STACK_OF(X509) *load(int x) {\n  return 0;\n}\n"
      "int locked(int x) EXCLUDES(mu_) __nonnull(1) {\n  return x;\n}\n"
      "S::S(int x) : Base(x), n::member_(x) {\n  run();\n}\n"
      "auto trailing(int x) -> std::function<Type(int)> {\n  return x;\n}\n"
      "void quiet(int x) noexcept(true) {\n  run();\n}\n");
  EXPECT_EQ(NameAt(scan, 3), "cnt_recv");
  EXPECT_EQ(NameAt(scan, 6), "load");
  EXPECT_EQ(NameAt(scan, 9), "locked");
  EXPECT_EQ(NameAt(scan, 12), "S");
  EXPECT_EQ(NameAt(scan, 15), "trailing");
  EXPECT_EQ(NameAt(scan, 18), "quiet");
}

TEST(SourceScanTest, FunctionsWhoseNamesStandInsideOfAMacro) {
  const SourceScan scan = ScanSource(
      "PHP_METHOD(DOMDocument, validate)\n{\n  run();\n}\n"
      "METHOD(ike_sa_t, get_id, char*,\n  private_t *this)\n{\n  return 0;\n}\n"
      "int locked(int validate) {\n  return 1;\n}\n");
  const FunctionSpan* const php = scan.FunctionAt(2);
  const FunctionSpan* const strongswan = scan.FunctionAt(7);
  const FunctionSpan* const plain = scan.FunctionAt(10);
  ASSERT_TRUE(php != nullptr && strongswan != nullptr && plain != nullptr);
  EXPECT_TRUE(php->MayBe("zim_DOMDocument_validate"));
  EXPECT_FALSE(php->MayBe("zim_DOMElement_validate"));
  EXPECT_TRUE(strongswan->MayBe("get_id"));
  EXPECT_FALSE(strongswan->MayBe("destroy"));
  EXPECT_TRUE(plain->MayBe("locked"));
  EXPECT_FALSE(plain->MayBe("validate"));
}

TEST(SourceScanTest, BranchesOfAConditionalBeginAlike) {
  const SourceScan scan = ScanSource(
      "#ifdef A\nint f(int a) {\n#else\nint f(void) {\n#endif\n  return 1;\n}\n"
      "int g(void) {\n  return 2;\n}\n");
  EXPECT_EQ(NameAt(scan, 5), "f");
  EXPECT_EQ(NameAt(scan, 8), "g");
}

TEST(SourceScanTest, QuotesAndRawStringsAreSkipped) {
  const SourceScan scan = ScanSource(
      "const char* s = R\"x(\n{ ( \")\" \n)x\";\nchar q = '\"';\nint n = 1'000;\n"
      "int f() {\n  return '{';\n}\nint g() {\n  return 2;\n}\n");
  EXPECT_FALSE(scan.lines[1].directive_may_precede);
  EXPECT_TRUE(scan.lines[3].directive_may_precede);
  EXPECT_EQ(NameAt(scan, 6), "f");
  EXPECT_EQ(NameAt(scan, 9), "g");
}

}  // namespace
}  // namespace mend::patchc
