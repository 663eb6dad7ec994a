// What `patchc build`, `check` and `apply` have in common on the command line, and the way from
// there to a built patch.
#ifndef MEND_PATCHC_COMMANDS_PATCH_OPTIONS_H_
#define MEND_PATCHC_COMMANDS_PATCH_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "mend/target.h"
#include "patchc/compare/patch_builder.h"
#include "patchc/object/base.h"

namespace mend::patchc {

struct PatchOptions {
  std::vector<std::string> inputs;  // edited sources
  std::vector<std::string> diffs;
  std::string source_dir;
  int strip = -1;  // -pN; -1: guessed
  std::string name;
  bool no_replace = false;
  std::string replace_set;
  std::vector<std::string> hold;
  std::vector<std::string> allow_layout;
  std::vector<std::string> base_modules;  // [NAME=]FILE: not loaded ones
  size_t jobs = 0;                        // 0: as many as there are processors and memory for
  bool keep_going = false;
  bool json = false;

  // Whether anything is given that a ready module has decided already.
  bool HasBuildOptions() const {
    return !name.empty() || no_replace || !replace_set.empty() || !hold.empty() ||
           !allow_layout.empty() || !base_modules.empty() || !diffs.empty();
  }
};

void AddPatchOptions(CLI::App& app, PatchOptions& options);
// --name, for what patches can be called. AddPatchOptions adds it.
void AddNameOption(CLI::App& app, std::string& name, const char* help);

// Parses; the exit code when that is all (2 for usage errors, 0 for --help), else -1.
int ParseArguments(CLI::App& app, const std::vector<std::string>& arguments);

// The program that `base` names (an executable file, or a running target: process id, socket,
// name), the guest modules that a running target has loaded, and those that the options name.
// `*running`, unless null, gets the target if it is one.
absl::StatusOr<BaseObjects> OpenBase(const std::string& base, const PatchOptions& options,
                                     std::optional<Target>* running = nullptr);
// The same for a running target.
absl::StatusOr<BaseObjects> OpenTarget(const Target& target, const PatchOptions& options);
// The two steps of OpenTarget, for who may know the patch for these modules already. First the
// guest modules; then the program, in front of them. One that its host loaded, rather than an
// executable made by patchc, is asked for over the control socket.
absl::StatusOr<BaseObjects> OpenModules(const Target& target, const PatchOptions& options);
absl::StatusOr<BaseObjects> WithProgram(const Target& target, BaseObjects modules);

// Compiles from scratch, and says what it compiles when that takes long.
Compiler ReportingCompiler();

// Builds against `objects`.
absl::StatusOr<BuildReport> BuildPatch(BaseObjects& objects, const PatchOptions& options,
                                       Compiler compiler = ReportingCompiler());

// Prints the error and returns the exit code of the contract for it.
int ReportError(const absl::Status& status, bool json);
// The same with another exit code, which it returns.
int ReportErrorAs(int code, const absl::Status& status, bool json);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_PATCH_OPTIONS_H_
