// patchc: the compiler side of mend. `patchc VERB ARGUMENTS`; called as mend-cc or mend-c++, for
// build systems that take one word for a compiler, it is `patchc cc` or `patchc c++`.
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "mend/standard_streams.h"
#include "patchc/commands/command.h"
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
  std::fputs("\npatchc VERB --help says more.\n", file);
}

// A working directory that was removed has no name: those that are relative to it lead nowhere, as
// they do in any folder that has no such files.
void LeaveRemovedDirectory() {
  std::error_code error;
  (void)std::filesystem::current_path(error);
  if (error) std::filesystem::current_path("/", error);
}

bool IsCompiler(std::string_view verb) { return verb == "cc" || verb == "c++"; }

int Run(int argc, char** argv) {
  if (argc < 2) {
    PrintUsage(stderr);
    return 2;
  }
  const std::string_view verb = argv[1];
  if (verb == "--help" || verb == "-h") {
    PrintUsage(stdout);
    return 0;
  }
  if (verb == "--version") {
    std::printf("patchc %s\n", MEND_VERSION);
    return 0;
  }
  for (const mend::patchc::Command& command : kCommands) {
    if (verb == command.name) return command.run({argv + 2, argv + argc});
  }
  std::fprintf(stderr, "patchc: unknown verb '%s'; see patchc --help\n", argv[1]);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  mend::patchc::PrepareHeap();
  std::string_view name = argc > 0 ? argv[0] : "";
  name.remove_prefix(name.find_last_of('/') + 1);
  const bool is_c = name == "mend-cc";
  const bool is_compiler =
      is_c || name == "mend-c++" || (argc > 1 && IsCompiler(std::string_view(argv[1])));
  mend::OpenClosedStreams(/*discards_output=*/is_compiler);
  LeaveRemovedDirectory();
  if (is_c) return mend::patchc::RunCc({argv + 1, argv + argc});
  if (name == "mend-c++") return mend::patchc::RunCxx({argv + 1, argv + argc});
  const int code = Run(argc, argv);
  return is_compiler ? code : mend::FinishOutput("patchc", code);
}
