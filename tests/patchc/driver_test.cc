// `patchc cc` as a build system sees it: files, exit codes and messages; and the other verbs' help.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

class DriverTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = (std::filesystem::temp_directory_path() / "mend-driver-XXXXXX").string();
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }

  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& contents) {
    std::ofstream(folder_ + "/" + name) << contents;
  }

  std::string Read(const std::string& name) const {
    std::ostringstream contents;
    contents << std::ifstream(folder_ + "/" + name, std::ios::binary).rdbuf();
    return contents.str();
  }

  bool Exists(const std::string& name) const {
    return std::filesystem::exists(folder_ + "/" + name);
  }

  // The exit code; what was printed is in output_.
  int Run(const std::string& command) {
    const std::string line = "cd " + folder_ + " && { " + command + " ; } > .output 2>&1";
    const int status = std::system(line.c_str());
    output_ = Read(".output");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  int Cc(const std::string& arguments) { return Run(MEND_TEST_PATCHC " cc " + arguments); }

  // The objects in an executable, by name.
  std::vector<std::string> ObjectsIn(const std::string& name) {
    const std::string file = Read(name);
    const auto image = FindProgramImage(file);
    if (!image.ok()) return {};
    const auto objects = ParseProgramImage(*image);
    std::vector<std::string> names;
    if (!objects.ok()) return names;
    for (const ProgramObject& object : *objects) names.emplace_back(object.name);
    return names;
  }

  std::string folder_;
  std::string output_;
};

TEST_F(DriverTest, CompilesSeveralSourcesWithDependencyFiles) {
  Write("a.c", "#include \"h.h\"\nint a(void) { return H; }\n");
  Write("b.c", "int b(void) { return 2; }\n");
  Write("h.h", "#define H 1\n");
  ASSERT_EQ(Cc("-O2 -MMD -c a.c b.c"), 0) << output_;
  EXPECT_EQ(output_, "");
  EXPECT_NE(Read("a.d").find("h.h"), std::string::npos);
  for (const char* name : {"a.o", "b.o"}) {
    const std::string object = Read(name);
    const auto section = FindElfSection(object, kObjectSection);
    ASSERT_TRUE(section.ok()) << name;
    const auto description = ParseObjectDescription(*section);
    ASSERT_TRUE(description.ok());
    EXPECT_EQ(description->output, name);
    // Only what this unit is compiled with, so that it can be rebuilt alone.
    const std::vector<std::string> arguments = {"-O2", description->source};
    EXPECT_EQ(description->arguments, arguments);
  }
}

TEST_F(DriverTest, ItsOwnFlagsAreRecordedAndReachNobodyElse) {
  Write("a.c", "int step(void);\nvoid serve(void) { for (;;) step(); }\n");
  ASSERT_EQ(Cc("-O2 -c -fmend-loops a.c"), 0) << output_;
  EXPECT_EQ(output_, "");
  const std::string object = Read("a.o");
  const auto section = FindElfSection(object, kObjectSection);
  ASSERT_TRUE(section.ok());
  const auto description = ParseObjectDescription(*section);
  ASSERT_TRUE(description.ok());
  const std::vector<std::string> arguments = {"-fmend-loops", "-O2", "a.c"};
  EXPECT_EQ(description->arguments, arguments);
  // The same again from what is recorded.
  ASSERT_EQ(Cc("-fmend-loops -O2 a.c -c -o b.o"), 0) << output_;
  EXPECT_NE(Read("b.o").find("serve.loop.0."), std::string::npos);
  EXPECT_EQ(Cc("-E -fmend-loops=serve a.c"), 0) << output_;
  EXPECT_EQ(Cc("-S -fmend-loops a.c -o -"), 0) << output_;
  EXPECT_EQ(Cc("-fmend-looops -c a.c"), 1);
  EXPECT_NE(output_.find("unknown argument: '-fmend-looops'"), std::string::npos) << output_;
  EXPECT_EQ(Cc("--help"), 0);
  EXPECT_NE(output_.find("  -fmend-loops=<name>,..."), std::string::npos);
}

TEST_F(DriverTest, AnErrorLeavesNoObject) {
  Write("bad.c", "int f(void) { return x; }\n");
  Write("good.c", "int main(void) { return 0; }\n");
  EXPECT_EQ(Cc("-c bad.c"), 1);
  EXPECT_NE(output_.find("bad.c:1:22: error: "), std::string::npos) << output_;
  EXPECT_FALSE(Exists("bad.o"));
  EXPECT_EQ(Cc("bad.c good.c -o program"), 1);
  EXPECT_FALSE(Exists("program"));
}

TEST_F(DriverTest, WhatIsNotAnObjectIsClangs) {
  Write("a.c", "int a(void) { return __LINE__; }\n");
  EXPECT_EQ(Cc("-E a.c"), 0);
  EXPECT_NE(output_.find("return 1;"), std::string::npos);
  EXPECT_EQ(Cc("-S a.c -o -"), 0);
  EXPECT_NE(output_.find(".globl\ta"), std::string::npos);
  EXPECT_EQ(Cc("--version"), 0);
  EXPECT_NE(output_.find("clang version"), std::string::npos);
  EXPECT_EQ(Cc("-c a.c -o missing/a.o"), 1);
  EXPECT_EQ(Run("echo 'int b;' | " MEND_TEST_PATCHC " cc -x c -c - -o b.o"), 0) << output_;
  EXPECT_TRUE(Exists("b.o"));
  Write("response", "-c a.c\n-o from_response.o\n");
  EXPECT_EQ(Cc("@response"), 0) << output_;
  EXPECT_TRUE(Exists("from_response.o"));
}

TEST_F(DriverTest, TakesTheArchiveMembersThatAreNeeded) {
  Write("main.c", "int f(void); int main(void) { return f(); }\n");
  Write("f.c", "extern __thread int t; int f(void) { return t; }\n");
  Write("t.c", "__thread int t = 3;\n");
  Write("unused.c", "int unused(void) { return 1; }\n");
  ASSERT_EQ(Cc("-c main.c f.c t.c unused.c"), 0) << output_;
  ASSERT_EQ(Run("ar cr libf.a unused.o f.o t.o"), 0) << output_;
  ASSERT_EQ(Cc("main.o libf.a -lm -o program"), 0) << output_;
  // The thread-local's member comes although only an offset refers to it.
  std::vector<std::string> objects = ObjectsIn("program");
  std::sort(objects.begin(), objects.end());
  const std::vector<std::string> expected = {"libf.a(f.o)", "libf.a(t.o)", "main.o"};
  EXPECT_EQ(objects, expected);
}

// Meson's libraries are such archives, of objects in a folder for each.
TEST_F(DriverTest, MembersOfThinArchivesAreFoundInTheirFolders) {
  Write("main.c", "int f(void); int g(void); int main(void) { return f() + g() - 9; }\n");
  Write("f.c", "int f(void) { return 4; }\n");
  Write("g.c", "int g(void) { return 5; }\n");
  ASSERT_EQ(Run("mkdir one two"), 0);
  ASSERT_EQ(Cc("-c main.c"), 0) << output_;
  ASSERT_EQ(Cc("-c f.c -o one/u.o"), 0) << output_;
  ASSERT_EQ(Cc("-c g.c -o two/u.o"), 0) << output_;
  ASSERT_EQ(Run("ar csrDT libfg.a two/u.o one/u.o"), 0) << output_;
  ASSERT_EQ(Cc("main.o libfg.a -o program"), 0) << output_;
  EXPECT_EQ(Run("./program"), 0) << output_;
  const std::vector<std::string> expected = {"main.o", "libfg.a(two/u.o)", "libfg.a(one/u.o)"};
  EXPECT_EQ(ObjectsIn("program"), expected);
  ASSERT_EQ(Cc("main.o -Wl,--whole-archive libfg.a -Wl,--no-whole-archive -o program"), 0)
      << output_;
  EXPECT_EQ(Run("./program"), 0) << output_;
}

TEST_F(DriverTest, LinkErrorsAreTheLinkers) {
  Write("main.c", "int f(void); int main(void) { return f(); }\n");
  EXPECT_EQ(Cc("main.c -o program"), 1);
  EXPECT_NE(output_.find("undefined symbol: f"), std::string::npos) << output_;
  EXPECT_FALSE(Exists("program"));
  EXPECT_EQ(Cc("main.c -lno_such_library -o program"), 1);
  EXPECT_NE(output_.find("no_such_library"), std::string::npos) << output_;
}

TEST_F(DriverTest, RefusesByName) {
  Write("a.c", "int a(void) { return 1; }\n");
  EXPECT_EQ(Cc("-static-pie a.c -o a"), 1);
  EXPECT_NE(output_.find("-static-pie: a hosted program"), std::string::npos) << output_;
  Write("native.c", "__thread int t; int main(void) { return t; }\n");
  ASSERT_EQ(Run(MEND_TEST_CLANG " -c native.c"), 0) << output_;
  EXPECT_EQ(Cc("native.o -o native"), 1);
  EXPECT_NE(output_.find("native.o: accesses thread-local storage"), std::string::npos) << output_;
}

TEST_F(DriverTest, RelocatableLinksKeepTheObjectsTheyAreMadeOf) {
  Write("a.c", "int b(void); int a(void) { return b() + 1; }\n");
  Write("b.c", "int b(void) { return 4; }\n");
  Write("main.c", "int a(void); int main(void) { return a(); }\n");
  ASSERT_EQ(Cc("-c a.c b.c main.c"), 0) << output_;
  ASSERT_EQ(Cc("-r a.o b.o -o ab.o"), 0) << output_;
  // Again one of such, and out of an archive.
  ASSERT_EQ(Cc("-nostdlib -r ab.o -o all.o && ar rcs liball.a all.o"), 0) << output_;
  ASSERT_EQ(Cc("main.o -L. -lall -o program"), 0) << output_;
  EXPECT_EQ(Run("./program"), 5);
  const std::vector<std::string> expected = {"main.o", "a.o", "b.o"};
  EXPECT_EQ(ObjectsIn("program"), expected);
}

TEST_F(DriverTest, UnitsAreBuiltFromThePrecompiledHeadersSource) {
  Write("all.h", "#pragma once\n#define ANSWER 6\n");
  Write("main.c", "int main(void) { return ANSWER; }\n");
  ASSERT_EQ(Cc("-x c-header all.h -o all.h.gch"), 0) << output_;
  ASSERT_EQ(Cc("-include all.h main.c -o program"), 0) << output_;
  EXPECT_EQ(Run("./program"), 6);
  // Sources that are only in the precompiled file could not be patched.
  EXPECT_EQ(Run(MEND_TEST_PATCHC " inspect --json program"), 0);
  EXPECT_NE(output_.find("/all.h\""), std::string::npos) << output_;
  ASSERT_EQ(Run("mkdir edited && sed s/6/7/ all.h > edited/all.h"), 0);
  EXPECT_EQ(Run(MEND_TEST_PATCHC " check --base program edited/all.h"), 0) << output_;
  EXPECT_NE(output_.find("replaces   main"), std::string::npos) << output_;
}

TEST_F(DriverTest, ReadsResponseFilesAndAnswersToCompilerNames) {
  Write("main.c", "int main(void) { return 0; }\n");
  Write("args", "-O2 -flto \"main.c\" -o program\n");
  ASSERT_EQ(Cc("@args"), 0) << output_;
  EXPECT_NE(output_.find("-flto is dropped"), std::string::npos) << output_;
  EXPECT_EQ(Run("./program"), 0);
  const std::string folder = std::filesystem::path(MEND_TEST_PATCHC).parent_path().string();
  ASSERT_EQ(Run(folder + "/mend-cc -c main.c -o main.o"), 0) << output_;
  Write("main.cc",
        "#include <string>\nint main() { return static_cast<int>(std::string().size()); }\n");
  ASSERT_EQ(Run(folder + "/mend-c++ main.cc -o cxx && ./cxx"), 0) << output_;
}

TEST_F(DriverTest, CompressedDebugInformationAndGprofAreDroppedWithANote) {
  Write("main.c", "int main(void) { return 0; }\n");
  ASSERT_EQ(Cc("-g -gz -pg main.c -o program"), 0) << output_;
  EXPECT_NE(output_.find("-gz is dropped"), std::string::npos) << output_;
  EXPECT_NE(output_.find("-pg is dropped"), std::string::npos) << output_;
  EXPECT_EQ(Run("./program"), 0) << output_;
}

TEST_F(DriverTest, PatchesAreBuiltWhenTheSourceTreeIsGoneOrElsewhere) {
  ASSERT_EQ(Run("mkdir -p tree/src"), 0);
  Write("tree/src/h.h", "static inline int twice(int x) { return 2 * x; }\n");
  Write("tree/src/main.c",
        "#include \"h.h\"\nint f(int x) { return twice(x) + 1; }\n"
        "int main(int argc, char** argv) { return f(argc); }\n");
  Write("fix.patch",
        "--- a/src/main.c\n+++ b/src/main.c\n@@ -2 +2 @@\n"
        "-int f(int x) { return twice(x) + 1; }\n"
        "+int f(int x) { return twice(x) + 2; }\n");
  ASSERT_EQ(Run("cd tree/src && " MEND_TEST_PATCHC
                " cc -O1 -c main.c -o main.o && " MEND_TEST_PATCHC " cc main.o -o ../../program"),
            0)
      << output_;
  ASSERT_EQ(Run("mv tree moved"), 0);
  EXPECT_EQ(Run(MEND_TEST_PATCHC " check --base program --diff fix.patch --source moved"), 0);
  EXPECT_NE(output_.find("replaces   f "), std::string::npos) << output_;
  ASSERT_EQ(Run("rm -r moved"), 0);
  EXPECT_EQ(Run(MEND_TEST_PATCHC " check --base program --diff fix.patch"), 0);
  EXPECT_NE(output_.find("replaces   f "), std::string::npos) << output_;
  Write("other.patch", "--- a/src/other.c\n+++ b/src/other.c\n@@ -1 +1 @@\n-a\n+b\n");
  EXPECT_EQ(Run(MEND_TEST_PATCHC " check --base program --diff other.patch"), 3);
  EXPECT_NE(output_.find("MEND-E0007"), std::string::npos) << output_;
  // One that is, is enough.
  EXPECT_EQ(Run(MEND_TEST_PATCHC " check --base program --diff other.patch --diff fix.patch"), 0);
}

TEST_F(DriverTest, StripRemovesTheSources) {
  Write("main.c", "int main(void) { return 0; } /* secret */\n");
  ASSERT_EQ(Cc("main.c -o program"), 0) << output_;
  EXPECT_EQ(Run(MEND_TEST_PATCHC " inspect --json program"), 0);
  EXPECT_NE(output_.find("\"embeds_sources\": true"), std::string::npos);
  ASSERT_EQ(Run(MEND_TEST_PATCHC " strip program"), 0) << output_;
  EXPECT_EQ(Run(MEND_TEST_PATCHC " inspect --json program"), 0);
  EXPECT_NE(output_.find("\"embeds_sources\": false"), std::string::npos) << output_;
  EXPECT_EQ(ObjectsIn("program").size(), 1U);
}

TEST_F(DriverTest, EveryOtherVerbHasHelpWithAnExample) {
  for (const std::string verb :
       {"build", "check", "apply", "watch", "explain", "inspect", "strip"}) {
    EXPECT_EQ(Run(MEND_TEST_PATCHC " --help"), 0);
    EXPECT_NE(output_.find("\n  " + verb + " "), std::string::npos) << output_;
    EXPECT_EQ(Run(MEND_TEST_PATCHC " " + verb + " --help"), 0);
    EXPECT_NE(output_.find("\n  patchc " + verb + " "), std::string::npos) << output_;
  }
}

TEST_F(DriverTest, WrongCommandLinesSayWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"", "usage: patchc VERB"},
      {"frobnicate", "there is no verb 'frobnicate'"},
      {"inspect", "FILE is required"},
      {"inspect --jsn a", "--jsn"},
      {"inspect a b", "b"},
      {"strip", "FILE is required"},
      {"strip --all a", "--all"},
      {"apply --to nobody", "give a module, edited sources or --diff"},
      {"build -o a", "give --base, and edited sources or --diff"},
      {"check --base a", "give edited sources or --diff"},
      {"explain MEND-E9999", "there is no code 'MEND-E9999'"}};
  for (const auto& [words, message] : wrong) {
    EXPECT_EQ(Run(MEND_TEST_PATCHC " " + words), 2) << words;
    EXPECT_NE(output_.find(message), std::string::npos) << words << ": " << output_;
  }
}

}  // namespace
}  // namespace mend::patchc
