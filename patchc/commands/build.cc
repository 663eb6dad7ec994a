// patchc build and patchc check: from edited sources to a patch module, or to the reasons why not.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "mend/client.h"
#include "mend/json.h"
#include "mend/target.h"
#include "patchc/commands/build_explicit.h"
#include "patchc/commands/build_report.h"
#include "patchc/commands/command.h"
#include "patchc/commands/patch_options.h"
#include "patchc/support/refusals.h"
#include "patchc/support/write_file.h"

namespace mend::patchc {
namespace {

constexpr char kBuildExamples[] =
    "\nexamples:\n"
    "  patchc build -o fix.mendpatch --base ./server fixed/handler.c\n"
    "  patchc build -o fix.mendpatch --base 4711 --diff fix.patch --hold 'handle_request'\n"
    "  patchc build -o fix.mendpatch --base ./server --base-module modules/mod_auth.so --diff "
    "fix.patch\n"
    "  patchc build -o demo.mendpatch --explicit demo.c helper.o -- -O2 -Iinclude\n";
constexpr char kCheckExamples[] =
    "\nexamples:\n"
    "  patchc check --base ./server --diff fix.patch\n";

// The arguments before and behind the first "--".
std::pair<CommandArguments, CommandArguments> SplitAtDashes(const CommandArguments& arguments) {
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  const auto behind = dashes == arguments.end() ? dashes : dashes + 1;
  return {{arguments.begin(), dashes}, {behind, arguments.end()}};
}

void PrintText(const BuildReport& report, const std::string& output) {
  PrintProblems(stderr, report);
  PrintContents(stdout, report);
  if (!report.refusals.empty()) return;
  if (report.no_change) {
    std::printf("no change: %zu unit(s) compared\n", report.units_compiled);
    return;
  }
  size_t functions = 0;
  for (const UnitDiff& unit : report.units) functions += unit.functions.size();
  std::printf(
      "patch '%s': %zu function(s) replaced in %zu unit(s), %zu compiled; "
      "compile %s, compare %s\n",
      report.name.c_str(), functions, report.units.size(), report.units_compiled,
      ShowDuration(absl::ToInt64Nanoseconds(report.compile_time)).c_str(),
      ShowDuration(absl::ToInt64Nanoseconds(report.compare_time)).c_str());
  if (!output.empty()) std::printf("written to %s\n", output.c_str());
}

// What only the target knows: whether it has what the patch refers to. Nothing in it changes. Other
// refusals depend on what runs there now, and may be none when the patch is applied.
absl::Status CheckReferences(const Target& target, const std::string& module) {
  const absl::StatusOr<Reply> reply = Client(target.socket).Post("/patches?dry_run=1", module);
  if (!reply.ok() || reply->ok()) return absl::OkStatus();
  const std::string text = ErrorText(*reply);
  const size_t at = text.find(RefusalId(RefusalCode::kUndefined));
  if (at == std::string::npos) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(text.substr(at), "\n  way out: ", TextOf(RefusalCode::kUndefined).way_out));
}

int Build(const std::string& base, const std::string& output, const PatchOptions& options) {
  std::optional<Target> running;
  absl::StatusOr<BaseObjects> opened = OpenBase(base, options, &running);
  if (!opened.ok()) return ReportError(opened.status(), options.json);
  absl::StatusOr<BuildReport> report = BuildPatch(*opened, options);
  if (!report.ok()) return ReportError(report.status(), options.json);
  const int code = report->refusals.empty() ? kExitOk : kExitRefused;
  const bool is_patch = code == kExitOk && !report->no_change;
  const bool write = is_patch && !output.empty();
  const std::string module =
      write || (is_patch && running.has_value()) ? SerializePatchModule(report->module) : "";
  if (is_patch && running.has_value()) {
    const absl::Status found = CheckReferences(*running, module);
    if (!found.ok()) return ReportError(found, options.json);
  }
  if (write) {
    const absl::Status written = WriteFile(output, module);
    if (!written.ok()) return ReportError(written, options.json);
  }
  if (!options.json) {
    PrintText(*report, write ? output : std::string());
    return code;
  }
  Json json;
  json["schema"] = 1;
  json["exit_code"] = code;
  FillJson(*report, json);
  json["output"] = write ? output : "";
  PrintJson(json);
  return code;
}

}  // namespace

int RunBuild(const CommandArguments& arguments) {
  CLI::App app("Builds a patch module from edited sources, or from an explicit patch.",
               "patchc build");
  app.footer(kBuildExamples);
  PatchOptions options;
  std::string base;
  std::string output;
  bool is_explicit = false;
  const auto [own, compiler_flags] = SplitAtDashes(arguments);
  AddPatchOptions(app, options);
  app.add_option("--base", base, "the program: a file, or a running target");
  app.add_option("-o", output, "the module to write")->required();
  app.add_flag("--explicit", is_explicit, "the inputs describe the patch by <mend/livepatch.h>");
  if (const int code = ParseArguments(app, own); code >= 0) return code;
  if (is_explicit) return BuildExplicit(base, options, compiler_flags, output);
  if (!compiler_flags.empty()) {
    std::fputs(
        "patchc build: flags behind -- are for --explicit: a program's units say how they "
        "were compiled\n",
        stderr);
    return kExitUsage;
  }
  if (base.empty() || (options.inputs.empty() && options.diffs.empty())) {
    std::fputs("patchc build: give --base, and edited sources or --diff\n", stderr);
    return kExitUsage;
  }
  return Build(base, output, options);
}

int RunCheck(const CommandArguments& arguments) {
  CLI::App app("Says what a patch of edited sources would contain, or why there is none.",
               "patchc check");
  app.footer(kCheckExamples);
  PatchOptions options;
  std::string base;
  AddPatchOptions(app, options);
  app.add_option("--base", base, "the program: a file, or a running target")->required();
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  if (options.inputs.empty() && options.diffs.empty()) {
    std::fputs("patchc check: give edited sources or --diff\n", stderr);
    return kExitUsage;
  }
  return Build(base, {}, options);
}

}  // namespace mend::patchc
