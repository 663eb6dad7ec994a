// Blocks (-fblocks): what a patch may change of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>

#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using BlocksTest = CompareTest;

constexpr char kBlocks[] =
    "typedef int (^op)(int);\n"
    "void *_Block_copy(const void *block);\n"
    "op kept, other;\n"
    "void make(int n, int m) {\n"
    "  kept = (op)_Block_copy((const void *)^(int x) { return x + n; });\n"
    "}\n"
    "int sum(int n) {\n"
    "  __block int all = 0;\n"
    "  void (^add)(int) = ^(int k) { all += k; };\n"
    "  add(n);\n"
    "  return all;\n"
    "}\n";

TEST_F(BlocksTest, ABlockThatMayHaveBeenCopiedIsFoundByItsOrder) {
  flag_ = "-fblocks";
  MakeProgram({{"b.c", kBlocks}});
  const auto edit = [](std::string_view from, std::string_view to) {
    return std::map<std::string, std::string>{{"b.c", Replaced(kBlocks, from, to)}};
  };
  EXPECT_THAT(Build(edit("x + n", "x * n")).refusals, IsEmpty());
  const auto one_more = edit("x + n", "x + n + m");
  EXPECT_THAT(OnlyRefusal(Build(one_more)),
              AllOf(HasSubstr("MEND-E0101: a block of 'make': member 'm' was added"),
                    HasSubstr("'__make_block_invoke' is called by its address")));
  BuildOptions options;
  options.allow_layout = {"make::(block)"};
  EXPECT_THAT(Build(one_more, options).refusals, IsEmpty());
  const std::string other =
      "  other = (op)_Block_copy((const void *)^(int x) { return x - m; });\n";
  EXPECT_THAT(OnlyRefusal(Build(edit("  kept =", other + "  kept ="))),
              HasSubstr("MEND-E0123: blocks of 'make' may have changed places"));
  EXPECT_THAT(
      OnlyRefusal(Build(edit("kept = (op)_Block_copy((const void *)^(int x) { return x + n; })",
                             "op volatile once = ^(int x) { return x - m; };\n  n = once(n)"))),
      HasSubstr("MEND-E0123: blocks of 'make' may have changed places"));
  EXPECT_THAT(Build(edit("+ n; });\n", "+ n; });\n" + other)).refusals, IsEmpty());
}

TEST_F(BlocksTest, ABlockThatIsOnlyCalledMayCaptureAnything) {
  flag_ = "-fblocks";
  MakeProgram({{"b.c", kBlocks}});
  const BuildReport report =
      Build({{"b.c", Replaced(kBlocks, "  void (^add)(int) = ^(int k) { all += k; };\n",
                              "  void (^twice)(int) = ^(int k) { all += 2 * k; };\n"
                              "  twice(n);\n"
                              "  void (^add)(int) = ^(int k) { all += k + n; };\n")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), Contains("sum changed"));
}

}  // namespace
}  // namespace mend::patchc
