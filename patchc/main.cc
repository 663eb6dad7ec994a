// patchc: the compiler side of mend. `patchc VERB ARGUMENTS`; called as mend-cc or mend-c++, for
// build systems that take one word for a compiler, it is `patchc cc` or `patchc c++`.
#include <cstdio>
#include <string_view>

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

}  // namespace

int main(int argc, char** argv) {
  mend::patchc::PrepareHeap();
  std::string_view name = argc > 0 ? argv[0] : "";
  name.remove_prefix(name.find_last_of('/') + 1);
  if (name == "mend-cc") return mend::patchc::RunCc({argv + 1, argv + argc});
  if (name == "mend-c++") return mend::patchc::RunCxx({argv + 1, argv + argc});
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
