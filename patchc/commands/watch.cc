// patchc watch: rebuilds and applies a patch to a running program whenever one of its sources is
// saved.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "mend/client.h"
#include "mend/json.h"
#include "mend/target.h"
#include "patchc/commands/build_report.h"
#include "patchc/commands/command.h"
#include "patchc/commands/interrupt.h"
#include "patchc/commands/patch_options.h"
#include "patchc/commands/send_patch.h"
#include "patchc/compile/clang_runner.h"
#include "patchc/sources/source_watcher.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

namespace fs = std::filesystem;

constexpr char kExamples[] =
    "\nEvery save is one cumulative patch with all that differs from the running program. What\n"
    "does not compile, or is refused, is shown, and the program runs on as it was. When the\n"
    "sources are the program's again, the patch is disabled. Ctrl-C ends watching; the patch\n"
    "stays.\n"
    "\nexamples:\n"
    "  patchc watch --to server\n"
    "  patchc watch src/handler.c --to 4711 --hold handle_request\n";
constexpr char kPatchName[] = "watch";

// Readable when `pid` has ended; -1, which nobody waits for, where the system has none.
int EndDescriptor(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

class Watch {
 public:
  Watch(PatchOptions patch, SendOptions send, Target target, BaseObjects base)
      : options_(std::move(patch)),
        send_(std::move(send)),
        target_(std::move(target)),
        base_(std::move(base)) {}

  int Run() {
    const absl::Status found = FindFiles();
    if (!found.ok()) return ReportError(found, options_.json);
    absl::StatusOr<SourceWatcher> watcher = SourceWatcher::Create(files_);
    if (!watcher.ok()) return ReportError(watcher.status(), options_.json);
    const int interrupt = InterruptDescriptor();
    const int end = EndDescriptor(target_.pid);
    std::fprintf(stderr, "patchc: watching %zu source(s) of %s (%d); Ctrl-C ends it\n",
                 files_.size(), target_.name.c_str(), target_.pid);
    if (!edited_.empty()) TakeChanges(edited_);
    while (!is_target_gone_) {
      const std::set<std::string> saved = watcher->Wait({interrupt, end});
      if (!saved.empty()) {
        TakeChanges(saved);
        continue;
      }
      if (WasInterrupted(interrupt)) return kExitOk;
      is_target_gone_ = true;
    }
    std::fprintf(stderr, "patchc: %s (%d) has ended\n", target_.name.c_str(), target_.pid);
    return kExitUnreachable;
  }

 private:
  // The files to watch, and those of them that are not what the program was built from.
  absl::Status FindFiles() {
    for (const std::string& input : options_.inputs) {
      files_.insert(SourceEdits::Normalized(fs::current_path().string(), input));
    }
    if (!files_.empty()) {
      edited_ = files_;
      return absl::OkStatus();
    }
    const std::map<std::string, std::string> recorded = SourceEdits(base_).Recorded();
    for (const auto& [path, hash] : recorded) {
      const absl::StatusOr<std::string> text = ReadFile(path);
      if (!text.ok()) continue;
      files_.insert(path);
      if (HashHex(*text) != hash) edited_.insert(path);
    }
    if (!files_.empty()) return absl::OkStatus();
    return absl::NotFoundError(
        absl::StrCat("no source of ", base_.front().file(), " is where it was built from",
                     recorded.empty() ? "" : absl::StrCat(" (", recorded.begin()->first, ")"),
                     "; name the files to watch"));
  }

  void TakeChanges(const std::set<std::string>& saved) {
    edited_.insert(saved.begin(), saved.end());
    if (!options_.json) {
      std::vector<std::string> names;
      for (const std::string& file : saved) names.push_back(fs::path(file).filename().string());
      std::printf("%s\n", absl::StrJoin(names, ", ").c_str());
    }
    const Outcome outcome = ApplyEdits();
    PrintOutcome(outcome);
    if (outcome.exit_code == kExitUnreachable) is_target_gone_ = true;
    if (options_.json) PrintJson(outcome.json);
    std::fflush(stdout);
    // Only now, when nobody waits for it.
    const absl::MutexLock lock(&mu_);
    for (const CompileRequest& request : without_preamble_) runner_.KeepPreamble(request);
    without_preamble_.clear();
  }

  Outcome ApplyEdits() {
    PatchOptions options = options_;
    options.inputs.assign(edited_.begin(), edited_.end());
    absl::StatusOr<BuildReport> report = BuildPatch(
        base_, options, [this](const CompileRequest& request) { return Compile(request); });
    if (!report.ok()) {
      return Failure(target_, kExitRefused, std::string(Std(report.status().message())),
                     options_.json);
    }
    if (!options_.json) PrintProblems(stderr, *report);
    if (report->refusals.empty() && !report->no_change) {
      const Outcome outcome =
          SendPatch(target_, SerializePatchModule(report->module), &*report, send_);
      if (outcome.exit_code == kExitOk) is_applied_ = true;
      return outcome;
    }
    if (report->no_change && is_applied_) {
      const Outcome outcome = DisablePatch(target_, options_.name, send_);
      if (outcome.exit_code == kExitOk) is_applied_ = false;
      return outcome;
    }
    return NotSent(target_, *report, options_.json);
  }

  // Called from several threads at once. They only read the preambles.
  CompileResult Compile(const CompileRequest& request) {
    CompileResult result = runner_.Compile(request);
    const absl::MutexLock lock(&mu_);
    if (request.unedited && !result.used_preamble &&
        has_preamble_.insert(request.directory + "/" + request.output).second) {
      without_preamble_.push_back(request);
    }
    return result;
  }

  const PatchOptions options_;
  const SendOptions send_;
  const Target target_;
  BaseObjects base_;
  ClangRunner runner_{/*embed_sources=*/false};
  std::set<std::string> files_;
  std::set<std::string> edited_;  // that were, at one time, not what the program has
  absl::Mutex mu_;
  std::set<std::string> has_preamble_ ABSL_GUARDED_BY(mu_);  // units, by where their objects were
  std::vector<CompileRequest> without_preamble_ ABSL_GUARDED_BY(mu_);
  bool is_applied_ = false;
  bool is_target_gone_ = false;
};

}  // namespace

int RunWatch(const CommandArguments& arguments) {
  CLI::App app("Applies every saved edit to a running program.", "patchc watch");
  app.footer(kExamples);
  PatchOptions patch;
  SendOptions send;
  std::string to;
  app.add_option("SOURCE", patch.inputs, "sources to watch (default: all that the program has)");
  app.add_option("--to", to, "process id, socket path or name")->required();
  AddNameOption(app, patch.name, "the patch's name (default: watch)");
  app.add_option("--hold", patch.hold, "[OBJECT:]FUNCTION[,POSITION] to hold as well")
      ->allow_extra_args(false);
  app.add_option("--allow-layout", patch.allow_layout, "record whose layout may change")
      ->allow_extra_args(false);
  AddWaitOptions(app, send);
  app.add_flag("--json", patch.json, "a line of JSON for every save");
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  if (patch.name.empty()) patch.name = kPatchName;
  send.json = patch.json;
  send.mentions_persist = false;
  absl::StatusOr<Target> target = FindTarget(to);
  if (!target.ok()) return ReportErrorAs(kExitUnreachable, target.status(), patch.json);
  absl::StatusOr<BaseObjects> base = OpenTarget(*target, patch);
  if (!base.ok()) return ReportError(base.status(), patch.json);
  return Watch(std::move(patch), std::move(send), *std::move(target), *std::move(base)).Run();
}

}  // namespace mend::patchc
