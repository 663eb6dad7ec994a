// In which order the units of a patch are compiled, and when that ends early; and in which order
// they stand in the patch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using UnitOrderTest = CompareTest;

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

TEST_F(UnitOrderTest, ALayoutIsRefusedByTheFirstUnitThatHasIt) {
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

TEST_F(UnitOrderTest, TheUnitThatIsCompiledSoonestGoesAhead) {
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

TEST_F(UnitOrderTest, UnitsSideBySideGiveTheSamePatch) {
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

TEST_F(UnitOrderTest, AnErrorInAHeaderIsShownOnce) {
  MakeProgram(UnitsOfOneHeader(kWideHeader, 9));
  const BuildReport report = Build({{"wide.h", Replaced(kWideHeader, "w->b + 3", "w->c + 3")}});
  EXPECT_THAT(OnlyRefusal(report), HasSubstr("MEND-E0001"));
  EXPECT_EQ(report.units_compiled, 1u);
}

TEST_F(UnitOrderTest, AModuleFollowsThoseWhoseNewFunctionsItCalls) {
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

}  // namespace
}  // namespace mend::patchc
