// patchc apply: builds a patch from edited sources, or takes a ready module, and has one or more
// running programs apply it.
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "mend/client.h"
#include "mend/json.h"
#include "mend/target.h"
#include "patchc/commands/build_report.h"
#include "patchc/commands/command.h"
#include "patchc/commands/patch_options.h"
#include "patchc/commands/send_patch.h"
#include "patchc/commands/watch_canary.h"
#include "patchc/support/text.h"
#include "runtime/format/patch_module.h"

namespace mend::patchc {
namespace {

constexpr char kExamples[] =
    "\nexamples:\n"
    "  patchc apply fix.mendpatch --to server\n"
    "  patchc apply fixed/handler.c --to 4711 --timeout 5\n"
    "  patchc apply --diff fix.patch --to 'worker*' --hold handle_request\n"
    "  patchc apply fix.mendpatch --to server --canary 2 --health ./check.sh --promote-after 60\n";

struct ApplyOptions {
  PatchOptions patch;
  std::string to;
  SendOptions send;
  CanaryOptions canary;
};

// A module that is ready to send, and what is known of how it came to be.
struct ReadyModule {
  std::string bytes;
  std::string name;
  bool no_change = false;
  BuildReport report;
};

// Threads that mostly wait for a target's answer.
constexpr size_t kTargetsAtOnce = 64;

class Applier {
 public:
  explicit Applier(ApplyOptions options) : options_(std::move(options)) {}

  int Run() {
    if (const int code = FindReadyModule(); code != kExitOk) return code;
    const absl::StatusOr<Unreached> unreached = VisitTargets(
        options_.to, kTargetsAtOnce,
        [&](const Visit& visit) { Done(visit, ApplyTo(visit.target, visit.is_one_of_several)); });
    const absl::MutexLock lock(&mu_);
    std::vector<Outcome> outcomes;
    std::vector<Target> targets;
    for (std::optional<std::pair<Target, Outcome>>& result : results_) {
      if (!result.has_value()) continue;  // all visits are over
      targets.push_back(result->first);
      outcomes.push_back(std::move(result->second));
    }
    if (!unreached.ok()) {
      return ReportErrorAs(kExitUnreachable, unreached.status(), options_.patch.json);
    }
    for (const Target& target : unreached->silent) {
      outcomes.push_back(
          Failure(target, kExitUnreachable, UnreachedText(target), options_.patch.json));
      targets.push_back(target);
      PrintOutcome(outcomes.back());
    }
    for (const pid_t pid : unreached->without_socket) {
      std::fprintf(stderr, "patchc: warning: %s\n", UnreachedText(pid).c_str());
    }
    if (options_.canary.watches()) StayWithCanaries(targets, outcomes);
    if (outcomes.size() == 1) {
      if (options_.patch.json) PrintJson(outcomes.front().json);
      return outcomes.front().exit_code;
    }
    return ReportSeveral(outcomes);
  }

 private:
  // A positional operand may be a module instead of sources.
  int FindReadyModule() {
    const std::vector<std::string>& inputs = options_.patch.inputs;
    for (const std::string& input : inputs) {
      absl::StatusOr<std::string> bytes = ReadFile(input);
      if (!bytes.ok()) return ReportError(bytes.status(), options_.patch.json);
      if (!IsPatchModule(*bytes)) continue;
      if (inputs.size() > 1) {
        std::fputs("patchc apply: a module goes alone, without sources or another one\n", stderr);
        return kExitUsage;
      }
      if (options_.patch.HasBuildOptions()) {
        return ReportError(
            RefusalStatus({RefusalCode::kFixedInModule,
                           absl::StrCat(input, " is a module already: ",
                                        TextOf(RefusalCode::kFixedInModule).explanation),
                           {}}),
            options_.patch.json);
      }
      ready_ = std::make_unique<ReadyModule>();
      ready_->bytes = *std::move(bytes);
    }
    return kExitOk;
  }

  // Reports are in the order in which the targets were found, whichever is ready first.
  void Done(const Visit& visit, Outcome outcome) {
    const absl::MutexLock lock(&mu_);
    if (results_.size() <= visit.number) results_.resize(visit.number + 1);
    results_[visit.number] = {visit.target, std::move(outcome)};
    for (; printed_ < results_.size(); ++printed_) {
      const std::optional<std::pair<Target, Outcome>>& next = results_[printed_];
      if (!next.has_value()) return;
      PrintOutcome(next->second);
    }
  }

  void StayWithCanaries(const std::vector<Target>& targets, std::vector<Outcome>& outcomes) const {
    std::vector<HeldCanary> held;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const Json& json = outcomes[i].json;
      if (outcomes[i].exit_code != kExitOk || StringOf(json, "outcome") != "canary") continue;
      held.push_back({targets[i], StringOf(json, "patch"), &outcomes[i]});
    }
    if (!held.empty()) WatchCanaries(std::move(held), options_.canary, options_.send);
  }

  // One of several that ends meanwhile, as workers do, has nothing left to patch.
  static constexpr char kEnded[] = "ended";
  static Outcome Ended(const Target& target) {
    Outcome outcome = MakeOutcome(target, kExitOk, kEnded);
    absl::StrAppendFormat(&outcome.err, "patchc: %s (%d) ended meanwhile\n", target.name,
                          target.pid);
    return outcome;
  }

  Outcome ApplyTo(const Target& target, bool is_one_of_several) {
    if (is_one_of_several && HasEnded(target)) return Ended(target);
    Outcome outcome = ApplyToRunning(target);
    if (outcome.exit_code != kExitUnreachable || !is_one_of_several || !EndsSoon(target)) {
      return outcome;
    }
    return Ended(target);
  }

  Outcome ApplyToRunning(const Target& target) {
    if (ready_ != nullptr) return SendPatch(target, ready_->bytes, nullptr, options_.send);
    // A process that is gone, or about to be, cannot be read any more, which says nothing of the
    // patch.
    const auto refused = [&](const absl::Status& status) {
      const bool is_gone = absl::IsUnavailable(status) || HasEnded(target);
      const int code = is_gone ? kExitUnreachable : kExitRefused;
      return Failure(target, code, std::string(Std(status.message())), options_.patch.json);
    };
    absl::StatusOr<BaseObjects> modules = OpenModules(target, options_.patch);
    if (!modules.ok()) return refused(modules.status());
    const absl::StatusOr<const ReadyModule*> built = Built(target, *std::move(modules));
    if (!built.ok()) return refused(built.status());
    const ReadyModule& module = **built;
    if (!module.report.refusals.empty() || module.no_change) {
      return NotSent(target, module.report, options_.patch.json);
    }
    return SendPatch(target, module.bytes, &module.report, options_.send);
  }

  // The patch for the target, built by the first that needs it; the others wait for it.
  absl::StatusOr<const ReadyModule*> Built(const Target& target, BaseObjects modules) {
    const absl::MutexLock lock(&build_mu_);
    const std::string key = KeyOf(target, modules);
    auto built = built_.find(key);
    if (built == built_.end()) {
      absl::StatusOr<ReadyModule> module = BuildFor(target, std::move(modules));
      // A process that is gone could not be read, which is nothing to the others.
      if (!module.ok() && HasEnded(target)) return module.status();
      built = built_.emplace(key, std::move(module)).first;
    } else if (HasEnded(target)) {
      return absl::UnavailableError("it ended while the patch was built");
    }
    if (!built->second.ok()) return built->second.status();
    return &*built->second;
  }

  // Targets that need the same patch: of one executable, with the same guest modules.
  static std::string KeyOf(const Target& target, const BaseObjects& modules) {
    std::string key = target.executable.empty() ? absl::StrCat(target.pid) : target.executable;
    for (const Base& module : modules) {
      absl::StrAppend(&key, "|", module.module(), "=", module.ContentHash());
    }
    return key;
  }

  absl::StatusOr<ReadyModule> BuildFor(const Target& target, BaseObjects modules) {
    absl::StatusOr<BaseObjects> objects = WithProgram(target, std::move(modules));
    if (!objects.ok()) return objects.status();
    absl::StatusOr<BuildReport> report = BuildPatch(*objects, options_.patch);
    if (!report.ok()) return report.status();
    ReadyModule module;
    module.report = *std::move(report);
    module.name = module.report.name;
    module.no_change = module.report.no_change;
    if (module.report.refusals.empty() && !module.no_change) {
      module.bytes = SerializePatchModule(module.report.module);
    }
    if (!options_.patch.json) PrintProblems(stderr, module.report);
    return module;
  }

  int ReportSeveral(const std::vector<Outcome>& outcomes) const {
    Json json;
    json["schema"] = 1;
    json["exit_code"] = kExitOk;
    json["targets"] = Json::array();
    std::set<int> codes;
    for (const Outcome& outcome : outcomes) {
      // One that has ended says nothing about the others: all of those may be refused.
      if (StringOf(outcome.json, "outcome") != kEnded) codes.insert(outcome.exit_code);
      json["targets"].push_back(outcome.json);
    }
    const int code = codes.empty()       ? static_cast<int>(kExitOk)
                     : codes.size() == 1 ? *codes.begin()
                                         : static_cast<int>(kExitSomeFailed);
    json["exit_code"] = code;
    if (options_.patch.json) PrintJson(json);
    return code;
  }

  const ApplyOptions options_;
  std::unique_ptr<ReadyModule> ready_;
  absl::Mutex build_mu_;
  // By KeyOf. What is built stays where it is.
  std::map<std::string, absl::StatusOr<ReadyModule>> built_ ABSL_GUARDED_BY(build_mu_);
  absl::Mutex mu_;
  std::deque<std::optional<std::pair<Target, Outcome>>> results_ ABSL_GUARDED_BY(mu_);
  size_t printed_ ABSL_GUARDED_BY(mu_) = 0;  // of results_, from the first
};

}  // namespace

int RunApply(const CommandArguments& arguments) {
  CLI::App app("Applies a patch to running programs.", "patchc apply");
  app.footer(kExamples);
  ApplyOptions options;
  AddPatchOptions(app, options.patch);
  app.get_option("INPUT")->description("a patch module, or edited source files");
  app.add_option("--to", options.to, "process id, socket path, name or glob of names")->required();
  app.add_option("--param", options.send.parameters, "K=V: a parameter of the module")
      ->allow_extra_args(false);
  app.add_flag("--allow-inlined", options.send.allow_inlined,
               "apply an explicit patch although inlined copies of what it replaces stay");
  app.add_flag("--no-wait", options.send.wait.no_wait, "return when the transition has started");
  AddWaitOptions(app, options.send);
  app.add_flag("--dry-run", options.send.dry_run, "do everything but the transition");
  app.add_option("--canary", options.send.canary,
                 "N, P% or a glob of thread names: only these threads switch, until mend promote");
  AddCanaryOptions(app, options.canary);
  app.add_flag("--persist", options.send.persist, "keep the module in the target's --patch-dir");
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  options.send.json = options.patch.json;
  if (options.patch.inputs.empty() && options.patch.diffs.empty()) {
    std::fputs("patchc apply: give a module, edited sources or --diff\n", stderr);
    return kExitUsage;
  }
  if (options.canary.watches() && options.send.canary.empty()) {
    std::fputs("patchc apply: --health and --promote-after are for a --canary\n", stderr);
    return kExitUsage;
  }
  for (const std::string& parameter : options.send.parameters) {
    if (parameter.find('=') != std::string::npos && parameter[0] != '=') continue;
    std::fprintf(stderr, "patchc apply: --param: '%s' is not K=V\n", parameter.c_str());
    return kExitUsage;
  }
  return Applier(std::move(options)).Run();
}

}  // namespace mend::patchc
