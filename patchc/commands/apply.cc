// patchc apply: builds a patch from edited sources, or takes a ready module, and has one or more
// running programs apply it.
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "mend/client.h"
#include "mend/target.h"
#include "patchc/commands/build_report.h"
#include "patchc/commands/command.h"
#include "patchc/commands/patch_options.h"
#include "patchc/text.h"

namespace mend::patchc {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kExamples[] =
    "\nexamples:\n"
    "  patchc apply fix.mendpatch --to server\n"
    "  patchc apply fixed/handler.c --to 4711 --timeout 5\n"
    "  patchc apply --diff fix.patch --to 'worker*' --hold handle_request\n";
constexpr char kModuleMagic[] = "MENDPTCH";
// For what the target does besides waiting for threads.
constexpr absl::Duration kAnswerSlack = absl::Seconds(60);

struct ApplyOptions {
  PatchOptions patch;
  std::string to;
  std::vector<std::string> parameters;  // K=V
  bool allow_inlined = false;
  bool no_wait = false;
  double timeout_seconds = 30;
  std::string on_timeout = "reverse";
  bool dry_run = false;
  bool persist = false;
};

// A module that is ready to send, and what is known of how it came to be.
struct ReadyModule {
  std::string bytes;
  std::string name;
  bool no_change = false;
  bool was_built = false;
  BuildReport report;
};

// What became of one target.
struct Outcome {
  int exit_code = kExitInternal;
  Json json;
};

bool IsModule(const std::string& bytes) {
  return std::string_view(bytes).starts_with(kModuleMagic);
}

// For a value in a query.
std::string PercentEncoded(const std::string& value) {
  std::string encoded;
  for (const char c : value) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      encoded += c;
    } else {
      absl::StrAppend(&encoded, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return encoded;
}

std::string RequestPath(const ApplyOptions& options) {
  const int64_t timeout = absl::ToInt64Nanoseconds(absl::Seconds(options.timeout_seconds));
  std::string path = absl::StrCat(
      "/patches?timeout_ns=", timeout, "&on_timeout=", options.on_timeout,
      "&no_wait=", options.no_wait ? 1 : 0, "&dry_run=", options.dry_run ? 1 : 0,
      "&persist=", options.persist ? 1 : 0, "&allow_inlined=", options.allow_inlined ? 1 : 0);
  for (const std::string& parameter : options.parameters) {
    absl::StrAppend(&path, "&param=", PercentEncoded(parameter));
  }
  return path;
}

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<int64_t>() : 0;
}

// An array or object of the reply; empty when the target sent none.
Json Part(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() ? *found : Json();
}

void PrintFunctions(const Json& report) {
  std::vector<std::string> back;
  for (const Json& function : Part(report, "functions")) {
    const std::string name = DisplayName(Text(function, "name"));
    const auto nop = function.find("nop");
    if (nop != function.end() && nop->is_boolean() && nop->get<bool>()) {
      back.push_back(name);
      continue;
    }
    const std::string reason = Text(function, "reason");
    const std::string detail = Text(function, "detail");
    const bool is_changed = reason.empty() || reason == "changed";
    std::printf("  %-10s %-32s %s\n", "replaced", name.c_str(),
                is_changed ? absl::StrCat("changed", detail.empty() ? "" : " (", detail,
                                          detail.empty() ? "" : ")")
                                 .c_str()
                           : absl::StrCat(reason, " ", detail).c_str());
  }
  for (const std::string& name : back) std::printf("  %-10s %s\n", "original", name.c_str());
  for (const Json& held : Part(report, "held")) {
    if (held.is_string()) std::printf("  %-10s %s\n", "held", held.get<std::string>().c_str());
  }
  for (const Json& old : Part(report, "replaced_patches")) {
    if (old.is_string())
      std::printf("  %-10s patch '%s'\n", "retired", old.get<std::string>().c_str());
  }
}

void PrintTransition(const Json& report) {
  std::vector<std::string> phases;
  for (const char* const phase : {"compile", "compare", "parse", "link", "check", "transition"}) {
    const Json all = Part(report, "phases");
    const std::string key = absl::StrCat(phase, "_ns");
    if (all.is_object() && all.contains(key)) {
      phases.push_back(absl::StrCat(phase, " ", ShowDuration(Number(all, key.c_str()))));
    }
  }
  if (!phases.empty()) std::printf("  %-10s %s\n", "phases", absl::StrJoin(phases, ", ").c_str());
  const Json transition = Part(report, "transition");
  if (transition.is_object()) {
    std::vector<std::string> ways;
    const Json switched = Part(transition, "switched");
    for (const auto& [way, count] : switched.items()) {
      if (count.is_number() && count.get<int64_t>() > 0) {
        ways.push_back(absl::StrCat(count.get<int64_t>(), " ", way));
      }
    }
    if (!ways.empty()) std::printf("  %-10s %s\n", "switched", absl::StrJoin(ways, ", ").c_str());
    const std::string last = Text(transition, "last_straggler");
    if (!last.empty()) std::printf("  %-10s %s\n", "last", last.c_str());
  }
  for (const Json& thread : Part(report, "stragglers")) {
    const Json straggler = Part(thread, "straggler");
    const std::string function = straggler.is_object() ? Text(straggler, "function") : "";
    std::printf("  %-10s thread %s '%s'%s%s\n", "waits for", Text(thread, "tid").c_str(),
                Text(thread, "name").c_str(), function.empty() ? "" : " in ",
                DisplayName(function).c_str());
  }
}

void PrintOutcome(const Target& target, const Json& report) {
  const std::string outcome = Text(report, "outcome");
  const std::string patch = Text(report, "patch");
  const std::string where =
      absl::StrCat(target.name.empty() ? "target" : target.name, " (", target.pid, ")");
  if (outcome == "already_applied") {
    std::printf("patch '%s' is applied to %s already: nothing to do\n", patch.c_str(),
                where.c_str());
    return;
  }
  const char* what = "applied to";
  if (outcome == "migrating") what = "accepted, still migrating, by";
  if (outcome == "reversed") what = "timed out and was reversed in";
  if (outcome == "dry_run") what = "could be applied to";
  std::printf("patch '%s' %s %s\n", patch.c_str(), what, where.c_str());
  PrintFunctions(report);
  PrintTransition(report);
}

Outcome Failure(const Target& target, int exit_code, const std::string& message, bool json) {
  Outcome outcome;
  outcome.exit_code = exit_code;
  outcome.json["schema"] = 1;
  outcome.json["exit_code"] = exit_code;
  outcome.json["target"] = absl::StrCat(target.pid);
  outcome.json["message"] = message;
  if (!json) std::fprintf(stderr, "patchc: %s\n", message.c_str());
  return outcome;
}

Outcome SendTo(const Target& target, const ReadyModule& module, const ApplyOptions& options) {
  const bool json = options.patch.json;
  RequestOptions request;
  request.timeout = absl::Seconds(options.timeout_seconds) + kAnswerSlack;
  const absl::StatusOr<Reply> reply =
      Client(target.socket).Post(RequestPath(options), module.bytes, request);
  if (!reply.ok()) {
    return Failure(target, kExitUnreachable, std::string(Std(reply.status().message())), json);
  }
  Outcome outcome;
  outcome.exit_code = ExitCodeOf(*reply);
  outcome.json = Json::parse(reply->body, nullptr, /*allow_exceptions=*/false);
  const bool has_report = outcome.json.is_object() && outcome.json.contains("outcome");
  if (!has_report) return Failure(target, outcome.exit_code, ErrorText(*reply), json);
  if (module.was_built) {
    outcome.json["phases"]["compile_ns"] = absl::ToInt64Nanoseconds(module.report.compile_time);
    outcome.json["phases"]["compare_ns"] = absl::ToInt64Nanoseconds(module.report.compare_time);
    outcome.json["warnings"] = module.report.warnings;
    outcome.json["notes"] = module.report.notes;
    outcome.json["units_compiled"] = module.report.units_compiled;
    FillUnits(module.report, outcome.json);
  }
  outcome.json["target"] = absl::StrCat(target.pid);
  if (!json) {
    PrintOutcome(target, outcome.json);
    if (outcome.exit_code == kExitReversed) {
      std::fprintf(stderr, "patchc: %s\n", ErrorText(*reply).c_str());
    }
    if (outcome.exit_code == kExitOk && !options.persist && !options.dry_run &&
        Text(outcome.json, "outcome") == "complete") {
      std::fprintf(stderr, "patchc: the patch ends with the process; --persist keeps it\n");
    }
  }
  return outcome;
}

class Applier {
 public:
  explicit Applier(ApplyOptions options) : options_(std::move(options)) {}

  int Run() {
    if (const int code = FindReadyModule(); code != kExitOk) return code;
    std::vector<Outcome> outcomes;
    const absl::StatusOr<std::vector<pid_t>> unreached =
        VisitTargets(options_.to, [&](const Target& target, bool is_one_of_several) {
          outcomes.push_back(ApplyTo(target, is_one_of_several));
        });
    if (!unreached.ok()) {
      return ReportErrorAs(kExitUnreachable, unreached.status(), options_.patch.json);
    }
    for (const pid_t pid : *unreached) {
      std::fprintf(stderr, "patchc: warning: %s\n", UnreachedText(pid).c_str());
    }
    if (outcomes.size() == 1) {
      if (options_.patch.json) Print(outcomes.front().json);
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
      if (!IsModule(*bytes)) continue;
      if (inputs.size() > 1) {
        std::fputs("patchc apply: a module goes alone\n", stderr);
        return kExitUsage;
      }
      if (options_.patch.HasBuildOptions()) {
        return ReportError(RefusalStatus({RefusalCode::kFixedInModule, input, {}}),
                           options_.patch.json);
      }
      ready_ = std::make_unique<ReadyModule>();
      ready_->bytes = *std::move(bytes);
    }
    return kExitOk;
  }

  // One of several that ends meanwhile, as workers do, has nothing left to patch.
  static Outcome Ended(const Target& target) {
    Outcome outcome;
    outcome.exit_code = kExitOk;
    outcome.json["schema"] = 1;
    outcome.json["exit_code"] = kExitOk;
    outcome.json["outcome"] = "ended";
    outcome.json["target"] = absl::StrCat(target.pid);
    return outcome;
  }

  Outcome ApplyTo(const Target& target, bool is_one_of_several) {
    // A build takes its time, so each is looked at when it is its turn.
    if (is_one_of_several && HasEnded(target)) return Ended(target);
    Outcome outcome = ApplyToRunning(target);
    if (outcome.exit_code != kExitUnreachable || !is_one_of_several || !HasEnded(target)) {
      return outcome;
    }
    std::fprintf(stderr, "patchc: %s (%d) ended meanwhile\n", target.name.c_str(), target.pid);
    return Ended(target);
  }

  Outcome ApplyToRunning(const Target& target) {
    if (ready_ != nullptr) return SendTo(target, *ready_, options_);
    const std::string key =
        target.executable.empty() ? absl::StrCat(target.pid) : target.executable;
    auto built = built_.find(key);
    if (built == built_.end()) {
      absl::StatusOr<ReadyModule> module = BuildFor(target);
      if (!module.ok()) {
        return Failure(target, kExitRefused, std::string(Std(module.status().message())),
                       options_.patch.json);
      }
      built = built_.emplace(key, *std::move(module)).first;
    }
    const ReadyModule& module = built->second;
    if (!module.report.refusals.empty() || module.no_change) return NotSent(target, module);
    return SendTo(target, module, options_);
  }

  absl::StatusOr<ReadyModule> BuildFor(const Target& target) {
    absl::StatusOr<Base> base = OpenTarget(target);
    if (!base.ok()) return base.status();
    absl::StatusOr<BuildReport> report = BuildPatch(*base, options_.patch);
    if (!report.ok()) return report.status();
    ReadyModule module;
    module.was_built = true;
    module.report = *std::move(report);
    module.name = module.report.name;
    module.no_change = module.report.no_change;
    if (module.report.refusals.empty() && !module.no_change) {
      module.bytes = SerializePatchModule(module.report.module);
    }
    if (!options_.patch.json) PrintProblems(stderr, module.report);
    return module;
  }

  Outcome NotSent(const Target& target, const ReadyModule& module) const {
    Outcome outcome;
    outcome.exit_code = module.report.refusals.empty() ? kExitOk : kExitRefused;
    outcome.json["schema"] = 1;
    outcome.json["exit_code"] = outcome.exit_code;
    outcome.json["outcome"] = module.no_change ? "no_change" : "refused";
    outcome.json["target"] = absl::StrCat(target.pid);
    FillJson(module.report, outcome.json);
    if (!options_.patch.json && module.no_change) {
      std::printf("no change: %zu unit(s) compared, nothing to apply\n",
                  module.report.units_compiled);
    }
    return outcome;
  }

  int ReportSeveral(const std::vector<Outcome>& outcomes) const {
    Json json;
    json["schema"] = 1;
    json["exit_code"] = kExitOk;
    json["targets"] = Json::array();
    bool all_alike = true;
    for (const Outcome& outcome : outcomes) {
      all_alike = all_alike && outcome.exit_code == outcomes.front().exit_code;
      json["targets"].push_back(outcome.json);
    }
    const int code = all_alike ? outcomes.front().exit_code : static_cast<int>(kExitSomeFailed);
    json["exit_code"] = code;
    if (options_.patch.json) Print(json);
    return code;
  }

  static void Print(const Json& json) {
    std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  }

  const ApplyOptions options_;
  std::unique_ptr<ReadyModule> ready_;
  std::map<std::string, ReadyModule> built_;  // by executable
};

}  // namespace

int RunApply(const CommandArguments& arguments) {
  CLI::App app("Applies a patch to running programs.", "patchc apply");
  app.footer(kExamples);
  ApplyOptions options;
  AddPatchOptions(app, options.patch);
  app.add_option("--to", options.to, "target: pid, socket, name or glob of names")->required();
  app.add_option("--param", options.parameters, "K=V: a parameter of the module")
      ->allow_extra_args(false);
  app.add_flag("--allow-inlined", options.allow_inlined,
               "apply an explicit patch although inlined copies of what it replaces stay");
  app.add_flag("--no-wait", options.no_wait, "return when the transition has started");
  app.add_option("--timeout", options.timeout_seconds, "seconds to wait (30)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--on-timeout", options.on_timeout, "what then: reverse, wait or force")
      ->check(CLI::IsMember({"reverse", "wait", "force"}));
  app.add_flag("--dry-run", options.dry_run, "do everything but the transition");
  app.add_flag("--persist", options.persist, "keep the module in the target's --patch-dir");
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  if (options.patch.inputs.empty() && options.patch.diffs.empty()) {
    std::fputs("patchc apply: give a module, edited sources or --diff\n", stderr);
    return kExitUsage;
  }
  for (const std::string& parameter : options.parameters) {
    if (parameter.find('=') != std::string::npos && parameter[0] != '=') continue;
    std::fprintf(stderr, "patchc apply: --param: '%s' is not K=V\n", parameter.c_str());
    return kExitUsage;
  }
  return Applier(std::move(options)).Run();
}

}  // namespace mend::patchc
