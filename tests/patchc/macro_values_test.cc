// Macros that stand for another number than in the running program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "patchc/sources/macro_values.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

}  // namespace
}  // namespace mend::patchc
