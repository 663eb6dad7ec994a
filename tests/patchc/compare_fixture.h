// What the tests of comparison share: programs of one or two units in a folder of their own,
// compiled by the real compiler, and patches of them.
#ifndef MEND_TESTS_PATCHC_COMPARE_FIXTURE_H_
#define MEND_TESTS_PATCHC_COMPARE_FIXTURE_H_

#include <gtest/gtest.h>

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
#include "patchc/compare/patch_builder.h"
#include "patchc/support/text.h"

namespace mend::patchc {

inline std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline constexpr char kHeader[] =
    "struct point { int x; int y; };\n"
    "enum color { RED, GREEN };\n"
    "static inline int square(int v) { return v * v + 7; }\n"
    "int norm(const struct point *p);\n"
    "extern const int limits[4];\n";

inline constexpr char kMain[] =
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

inline constexpr char kShape[] =
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

  // Forgets the program and its files, for a test of several.
  void StartOver() {
    TearDown();
    bases_.clear();
    objects_.clear();
    SetUp();
  }

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
      if (!flag_.empty()) request.arguments.push_back(flag_);
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

  // MODULE:FUNCTION,POSITION of each.
  static std::vector<std::string> ModulesAndUnits(const BuildReport& report) {
    std::vector<std::string> units;
    for (const PatchUnit& unit : report.module.units) {
      for (const PatchedFunction& function : unit.functions) {
        units.push_back(absl::StrCat(unit.module, ":", function.name, ",", function.position));
      }
    }
    return units;
  }

  // The only refusal's code and message.
  static std::string OnlyRefusal(const BuildReport& report) {
    EXPECT_EQ(report.refusals.size(), 1u);
    return report.refusals.empty() ? "none" : RefusalReport(report.refusals.front());
  }

  std::string folder_;
  std::string flag_;                              // of the next program
  std::deque<std::vector<std::string>> objects_;  // of the program, then of each module
  BaseObjects bases_;                             // the program first
  std::set<std::string> left_out_;                // by the last compilation
};

}  // namespace mend::patchc

#endif  // MEND_TESTS_PATCHC_COMPARE_FIXTURE_H_
