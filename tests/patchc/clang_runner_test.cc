// Compiling a unit in process: what it records, that it can be rebuilt from that, and what is
// refused.
#include "patchc/compile/clang_runner.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "patchc/object/fingerprint.h"
#include "patchc/object/object_writer.h"
#include "runtime/format/debug_relocations.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

CompileRequest Request(const std::string& source, std::vector<std::string> flags = {"-O2"}) {
  CompileRequest request;
  request.directory = "/";
  request.language = "c";
  request.arguments = std::move(flags);
  request.arguments.push_back("unit.c");
  request.output = "unit.o";
  request.overlay["/unit.c"] = source;
  return request;
}

TEST(ClangRunnerTest, TheObjectDescribesItself) {
  CompileRequest request =
      Request("#include \"unit.h\"\nint f(struct point* p) { return p->y; }\n");
  request.overlay["/unit.h"] = "struct point { int x; int y : 3; };\n";
  const CompileResult result = ClangRunner().Compile(request);
  ASSERT_TRUE(result.ok) << result.diagnostics;
  const auto section = FindElfSection(result.object, kObjectSection);
  ASSERT_TRUE(section.ok());
  const auto description = ParseObjectDescription(*section);
  ASSERT_TRUE(description.ok());
  EXPECT_EQ(description->UnitName(), "unit.c|unit.o|" + description->directory);
  EXPECT_EQ(description->directory, "/");
  EXPECT_EQ(description->arguments, request.arguments);
  ASSERT_EQ(description->sources.size(), 2U);
  EXPECT_EQ(description->sources[1].path, "/unit.h");
  EXPECT_FALSE(description->sources[1].is_system);
  ASSERT_EQ(description->records.size(), 1U);
  EXPECT_EQ(description->records[0].name, "point");
  EXPECT_EQ(description->records[0].size_bytes, 8U);
  ASSERT_EQ(description->records[0].fields.size(), 2U);
  EXPECT_EQ(description->records[0].fields[1].offset_bits, 32U);
  EXPECT_EQ(description->records[0].fields[1].size_bits, 3U);

  const auto sources = SourcesIn(result.object);
  ASSERT_TRUE(sources.ok());
  ASSERT_EQ(sources->size(), 2U);
  EXPECT_EQ((*sources)[1].contents, request.overlay["/unit.h"]);
}

TEST(ClangRunnerTest, AFileThatIsReadUnderTwoNamesIsDescribedByBoth) {
  std::string folder =
      std::filesystem::canonical(std::filesystem::temp_directory_path()) / "mend-runner-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::ofstream(folder + "/items.h") << "+ 1\n";
  std::filesystem::create_symlink("items.h", folder + "/link.h");
  CompileRequest request;
  request.directory = folder;
  request.language = "c";
  request.arguments = {"-c", "unit.c"};
  request.output = "unit.o";
  std::ofstream(folder + "/unit.c")
      << "int f(void) {\n  return 0\n#include \"link.h\"\n#include \"items.h\"\n  ;\n}\n";
  const CompileResult result = ClangRunner().Compile(request);
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(result.ok) << result.diagnostics;
  const std::vector<SourceDescription>& sources = result.description.sources;
  ASSERT_EQ(sources.size(), 3U);
  EXPECT_EQ(sources[0].path, folder + "/items.h");
  EXPECT_EQ(sources[0].real_path, "");
  EXPECT_EQ(sources[1].path, folder + "/link.h");
  EXPECT_EQ(sources[1].real_path, folder + "/items.h");
  EXPECT_EQ(sources[1].hash, sources[0].hash);
  EXPECT_EQ(sources[2].path, folder + "/unit.c");
}

TEST(ClangRunnerTest, RebuildingFromTheDescriptionGivesTheSameObject) {
  const CompileRequest request = Request(
      "#include <stdio.h>\nstatic int n; int f(int x) { n += x; printf(\"%d\", n); return n; }\n",
      {"-O2", "-g", "-DNDEBUG"});
  const CompileResult first = ClangRunner().Compile(request);
  ASSERT_TRUE(first.ok) << first.diagnostics;
  CompileRequest again;
  again.directory = first.description.directory;
  again.language = first.description.language;
  again.arguments = first.description.arguments;
  again.output = first.description.output;
  for (const SourceText& source : first.sources) again.overlay[source.path] = source.contents;
  const CompileResult second = ClangRunner().Compile(again);
  ASSERT_TRUE(second.ok) << second.diagnostics;
  EXPECT_EQ(first.object, second.object);
}

std::map<std::string, std::string> Fingerprints(const CompileResult& result) {
  std::map<std::string, std::string> fingerprints;
  for (const FunctionDescription& function : result.description.functions) {
    fingerprints[function.name] = function.fingerprint;
  }
  return fingerprints;
}

class ClangRunnerPreambleTest : public ::testing::Test {
 protected:
  ClangRunnerPreambleTest() {
    request_ = Request("#include \"unit.h\"\nint f(struct point* p) { return p->y; }\n");
    request_.overlay["/unit.h"] = "struct point { int x; int y; };\n";
    request_.unedited = SourceText{"/unit.c", request_.overlay["/unit.c"]};
    runner_.KeepPreamble(request_);
  }

  // Compiles with and without the runner's preambles; the code is the same. Whether one was used.
  bool CompileBothWays() {
    const CompileResult warm = runner_.Compile(request_);
    const CompileResult cold = ClangRunner(/*embed_sources=*/false).Compile(request_);
    EXPECT_TRUE(warm.ok) << warm.diagnostics;
    EXPECT_EQ(Fingerprints(warm), Fingerprints(cold));
    return warm.used_preamble;
  }

  ClangRunner runner_{/*embed_sources=*/false};
  CompileRequest request_;
};

TEST_F(ClangRunnerPreambleTest, StandsForTheHeaders) {
  EXPECT_TRUE(CompileBothWays());
  request_.overlay["/unit.c"] =
      "#include \"unit.h\"\nint f(struct point* p) { return p->y + p->x; }\n";
  EXPECT_TRUE(CompileBothWays());
}

TEST(ClangRunnerTest, PreamblesOfManyHeaders) {
  CompileRequest request = Request(
      "#include <iostream>\n#include <map>\n#include <vector>\n"
      "static std::map<int, std::vector<int>> table;\n"
      "void add(int key) { table[key].push_back(key); std::cout << table.size(); }\n",
      {"-O2"});
  request.language = "c++";
  request.unedited = SourceText{"/unit.c", request.overlay["/unit.c"]};
  ClangRunner runner(/*embed_sources=*/false);
  runner.KeepPreamble(request);
  const CompileResult warm = runner.Compile(request);
  ASSERT_TRUE(warm.ok) << warm.diagnostics;
  EXPECT_TRUE(warm.used_preamble);
  const CompileResult cold = ClangRunner(/*embed_sources=*/false).Compile(request);
  EXPECT_EQ(Fingerprints(warm), Fingerprints(cold));
}

TEST_F(ClangRunnerPreambleTest, IsNotUsedUnlessAllowed) {
  request_.unedited.reset();
  EXPECT_FALSE(CompileBothWays());
}

TEST_F(ClangRunnerPreambleTest, IsNotUsedForAnotherBeginning) {
  request_.overlay["/unit.c"] =
      "#define y z\n#include \"unit.h\"\nint f(struct point* p) { return p->y; }\n";
  EXPECT_FALSE(CompileBothWays());
}

TEST_F(ClangRunnerPreambleTest, IsNotUsedForOtherHeaders) {
  request_.overlay["/unit.h"] = "struct point { long other; int x; int y; };\n";
  EXPECT_FALSE(CompileBothWays());
}

TEST_F(ClangRunnerPreambleTest, IsNotUsedForOtherArguments) {
  request_.arguments.insert(request_.arguments.begin(), "-Dx=z");
  EXPECT_FALSE(CompileBothWays());
}

TEST_F(ClangRunnerPreambleTest, ErrorsAreAsWithoutIt) {
  request_.overlay["/unit.c"] = "#include \"unit.h\"\nint f(void) { return missing; }\n";
  const CompileResult warm = runner_.Compile(request_);
  EXPECT_FALSE(warm.ok);
  EXPECT_EQ(warm.diagnostics, ClangRunner().Compile(request_).diagnostics);
}

TEST(ClangRunnerTest, ErrorsAreClangsOwn) {
  const CompileResult result = ClangRunner().Compile(Request("int f(void) { return missing; }\n"));
  EXPECT_FALSE(result.ok);
  EXPECT_NE(result.diagnostics.find("unit.c:1:22: error: use of undeclared identifier 'missing'"),
            std::string::npos)
      << result.diagnostics;
}

TEST(ClangRunnerTest, WithoutEmbeddedSources) {
  const CompileResult result =
      ClangRunner(/*embed_sources=*/false).Compile(Request("int f(void) { return 1; }\n"));
  ASSERT_TRUE(result.ok);
  EXPECT_FALSE(FindElfSection(result.object, kSourcesSection).ok());
  EXPECT_EQ(result.sources.size(), 1U);
}

struct Refused {
  const char* flag;
  const char* source;
  const char* message;
};

class RefusalTest : public testing::TestWithParam<Refused> {};

TEST_P(RefusalTest, IsNamedAtCompileTime) {
  const CompileResult result =
      ClangRunner().Compile(Request(GetParam().source, {"-O2", GetParam().flag}));
  EXPECT_FALSE(result.ok);
  EXPECT_NE(result.diagnostics.find(GetParam().message), std::string::npos) << result.diagnostics;
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusalTest,
    testing::Values(Refused{"-m32", "int f(void) { return 1; }", "cannot be hosted"},
                    Refused{"-fsanitize=address", "int f(void) { return 1; }", "sanitizers"},
                    Refused{"-fprofile-generate", "int f(void) { return 1; }", "profiles"},
                    Refused{"-fprofile-instr-generate", "int f(void) { return 1; }", "profiles"},
                    Refused{"-g",
                            "__thread int x; extern __thread int y __attribute__((alias(\"x\")));"
                            "int f(void) { return y; }",
                            "thread-local variable 'x' cannot be hosted"},
                    Refused{
                        "-g",
                        "int f(void) { int v; __asm__(\"movl %%fs:other@tpoff, %0\" : \"=r\"(v));"
                        "return v; }",
                        "cannot be hosted"}));

TEST(ObjectWriterTest, RemovingASectionLeavesTheRestReadable) {
  const CompileResult result = ClangRunner().Compile(Request("int f(void) { return 1; }\n"));
  ASSERT_TRUE(result.ok);
  const auto stripped = RemoveSection(result.object, kSourcesSection);
  ASSERT_TRUE(stripped.ok());
  EXPECT_LT(stripped->size(), result.object.size());
  const auto section = FindElfSection(*stripped, kObjectSection);
  ASSERT_TRUE(section.ok());
  EXPECT_TRUE(ParseObjectDescription(*section).ok());
  EXPECT_EQ(stripped->find("return 1"), std::string::npos);
}

// In C++ each inline function and its lists are a group of sections.
constexpr char kWithGroups[] =
    "inline int shared(int x) { static int n; n += x; return n; }\n"
    "template <typename T> T twice(T x) { return x + x; }\n"
    "int f(int x) { return shared(x) + twice(x); }\n"
    "int (*g)(int) = &twice<int>; int (*h)(int) = &shared;\n";

TEST(ObjectWriterTest, ADescribedObjectListsItsEntriesNoMore) {
  CompileRequest request = Request(kWithGroups);
  request.language = "c++";
  request.arguments = {"-O0", "-c", "-x", "c++", "unit.c"};
  const CompileResult result = ClangRunner().Compile(request);
  ASSERT_TRUE(result.ok) << result.diagnostics;
  EXPECT_FALSE(FindElfSection(result.object, "__patchable_function_entries").ok());
  absl::StatusOr<ObjectSummary> summary = SummarizeObject(result.object);
  ASSERT_TRUE(summary.ok()) << summary.status();
  TakePatchable(result.description.functions, *summary);
  ASSERT_EQ(summary->functions.size(), result.description.functions.size());
  ASSERT_GE(summary->functions.size(), 3U);
  for (size_t i = 0; i < summary->functions.size(); ++i) {
    EXPECT_EQ(summary->functions[i].name, result.description.functions[i].name);
    EXPECT_EQ(summary->functions[i].fingerprint, result.description.functions[i].fingerprint);
    EXPECT_TRUE(summary->functions[i].patchable) << summary->functions[i].name;
  }
  // Nothing more to take away.
  EXPECT_EQ(*RemoveEntryLists(result.object), result.object);
}

// How many sections there are of each name and type.
std::map<std::pair<std::string, uint32_t>, size_t> Sections(const std::string& object) {
  Elf64_Ehdr header;
  std::memcpy(&header, object.data(), sizeof(header));
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  std::memcpy(sections.data(), object.data() + header.e_shoff,
              sections.size() * sizeof(Elf64_Shdr));
  std::map<std::pair<std::string, uint32_t>, size_t> count;
  for (const Elf64_Shdr& section : sections) {
    const size_t name = sections[header.e_shstrndx].sh_offset + section.sh_name;
    ++count[{object.data() + name, section.sh_type}];
  }
  return count;
}

TEST(ObjectWriterTest, RelocationsOfDebugInformationAreSetAside) {
  const CompileResult result =
      ClangRunner().Compile(Request("extern int x; int f(void) { return x; }\n", {"-O2", "-g"}));
  ASSERT_TRUE(result.ok) << result.diagnostics;
  auto before = Sections(result.object);
  const std::pair<std::string, uint32_t> addresses = {".rela.debug_addr", SHT_RELA};
  ASSERT_EQ(before[addresses], 1U);
  std::string object = result.object;
  ASSERT_TRUE(SetDebugRelocationsAside(object).ok());
  EXPECT_EQ(object.size(), result.object.size());
  auto after = Sections(object);
  EXPECT_EQ(after[addresses], 0U);
  EXPECT_EQ((after[{".rela.debug_addr", kDebugRelocations}]), 1U);
  const std::pair<std::string, uint32_t> of_code = {".rela.text", SHT_RELA};
  EXPECT_GT(before[of_code], 0U);
  EXPECT_EQ(after[of_code], before[of_code]);
  const std::string once = object;
  ASSERT_TRUE(SetDebugRelocationsAside(object).ok());
  EXPECT_EQ(object, once);
}

TEST(ObjectWriterTest, NothingIsLeftBetweenSections) {
  const CompileResult result = ClangRunner().Compile(Request("int f(void) { return 1; }\n"));
  ASSERT_TRUE(result.ok);
  const auto once = AppendSections(result.object, {{".x", "x", 0, 1}});
  ASSERT_TRUE(once.ok());
  // A header, a name and a byte, and no second table of all headers and names.
  EXPECT_LT(once->size(), result.object.size() + 100);
}

TEST(ObjectWriterTest, AnEmptyObjectTakesSections) {
  const auto object = AppendSections(EmptyObject(), {{".x", "contents", 0, 1}});
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_TRUE(CheckHostable(*object, "empty").ok());
  const auto section = FindElfSection(*object, ".x");
  ASSERT_TRUE(section.ok());
  EXPECT_EQ(*section, "contents");
}

TEST(ObjectWriterTest, DamagedInputIsAnError) {
  const CompileResult result = ClangRunner().Compile(Request("int f(void) { return 1; }\n"));
  ASSERT_TRUE(result.ok);
  for (size_t size = 0; size < result.object.size(); size += 97) {
    const std::string cut = result.object.substr(0, size);
    EXPECT_FALSE(AppendSections(cut, {{".x", "x", 0, 1}}).ok()) << size;
    EXPECT_FALSE(CheckHostable(cut, "cut").ok()) << size;
    EXPECT_FALSE(RemoveEntryLists(cut).ok()) << size;
    std::string aside = cut;
    EXPECT_FALSE(SetDebugRelocationsAside(aside).ok()) << size;
    EXPECT_EQ(aside, cut) << size;
  }
}

TEST(ObjectWriterTest, SectionsThatOverlapAreAnError) {
  std::string object = EmptyObject();
  for (int i = 0; i < 4; ++i)
    object = *AppendSections(object, {{".x", std::string(4000, 'x'), 0, 1}});
  Elf64_Ehdr header;
  std::memcpy(&header, object.data(), sizeof header);
  for (uint64_t i = 2; i < header.e_shnum; ++i) {
    // Each is the whole file now.
    Elf64_Shdr section;
    char* const at = object.data() + header.e_shoff + i * sizeof section;
    std::memcpy(&section, at, sizeof section);
    section.sh_offset = 0;
    section.sh_size = object.size();
    std::memcpy(at, &section, sizeof section);
  }
  EXPECT_FALSE(AppendSections(object, {}).ok());
  EXPECT_FALSE(RemoveSection(object, ".x").ok());
}

}  // namespace
}  // namespace mend::patchc
