// patchc: the compiler side of mend. `patchc VERB ARGUMENTS`; called as mend-cc or mend-c++, for
// build systems that take one word for a compiler, it is `patchc cc` or `patchc c++`.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "mend/standard_streams.h"
#include "patchc/commands/command.h"
#include "patchc/compile/driver_session.h"
#include "patchc/heap.h"

namespace {

constexpr mend::patchc::Command kCommands[] = {
    {"cc", mend::patchc::RunCc, "compile and link C, like clang; the result is hosted"},
    {"c++", mend::patchc::RunCxx, "compile and link C++, like clang++; the result is hosted"},
    {"build", mend::patchc::RunBuild, "build a patch module from edited sources or diffs"},
    {"check", mend::patchc::RunCheck, "what a patch would contain, and what is refused and why"},
    {"apply", mend::patchc::RunApply, "apply a patch to a running program"},
    {"watch", mend::patchc::RunWatch, "apply every saved edit to a running program"},
    {"explain", mend::patchc::RunExplain, "what a refusal means, and the way out"},
    {"inspect", mend::patchc::RunInspect, "what a program, object or patch module says of itself"},
    {"strip", mend::patchc::RunStrip, "remove embedded sources"},
};

void PrintUsage(std::FILE* file) {
  std::fputs("usage: patchc VERB ARGUMENTS...\n\n", file);
  for (const mend::patchc::Command& command : kCommands) {
    std::fprintf(file, "  %-8s  %s\n", command.name, command.help);
  }
  std::fputs(
      "\npatchc VERB --help says more (of cc and c++: clang's options, and mend's own).\n"
      "Exit codes, but for cc and c++, which have clang's: 0 done, 1 internal error, 2 usage,\n"
      "3 refused, 4 timed out and reversed, 5 still migrating, 6 target unreachable,\n"
      "7 some of several targets failed.\n"
      "\nexamples:\n"
      "  make CC='patchc cc' CXX='patchc c++'\n"
      "  patchc check --base ./server --diff fix.patch\n"
      "  patchc apply --diff fix.patch --to server\n",
      file);
}

// A working directory that was removed has no name. Relative paths lead nowhere from it; so they do
// from a folder without such files.
void LeaveRemovedDirectory() {
  std::error_code error;
  (void)std::filesystem::current_path(error);
  if (error) std::filesystem::current_path("/", error);
}

// Units are compiled again with the include folders that they recorded, not with this command's
// (CPATH and the like). An explicit patch is compiled for the first time.
void ForgetIncludeFolders(const mend::patchc::CommandArguments& words) {
  if (std::find(words.begin(), words.end(), "--explicit") != words.end()) return;
  for (const auto& variable : mend::patchc::kIncludeVariables) unsetenv(variable.name);
}

// As the verb that it was called by: mend-cc, mend-c++.
mend::patchc::CommandArguments WordsOf(int argc, char** argv) {
  if (argc == 0) return {};
  mend::patchc::CommandArguments words(argv + 1, argv + argc);
  std::string_view name = argv[0];
  name.remove_prefix(name.find_last_of('/') + 1);
  if (name == "mend-cc") words.insert(words.begin(), "cc");
  if (name == "mend-c++") words.insert(words.begin(), "c++");
  return words;
}

int Run(const mend::patchc::CommandArguments& words) {
  if (words.empty()) {
    PrintUsage(stderr);
    return 2;
  }
  const std::string& verb = words.front();
  if (verb == "--help" || verb == "-h") {
    PrintUsage(stdout);
    return 0;
  }
  if (verb == "--version") {
    std::printf("patchc %s\n", MEND_VERSION);
    return 0;
  }
  for (const mend::patchc::Command& command : kCommands) {
    if (verb == command.name) return command.run({words.begin() + 1, words.end()});
  }
  std::fprintf(stderr, "patchc: there is no verb '%s'; see patchc --help\n", verb.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  mend::patchc::PrepareHeap();
  const mend::patchc::CommandArguments words = WordsOf(argc, argv);
  const bool is_compiler = !words.empty() && (words[0] == "cc" || words[0] == "c++");
  mend::OpenClosedStreams(/*discards_output=*/is_compiler);
  LeaveRemovedDirectory();
  if (!is_compiler) ForgetIncludeFolders(words);
  const int code = Run(words);
  return is_compiler ? code : mend::FinishOutput("patchc", code);
}
