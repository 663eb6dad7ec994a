#include "patchc/commands/send_patch.h"

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "mend/client.h"
#include "mend/json.h"
#include "mend/progress.h"
#include "patchc/commands/build_report.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

std::string RequestPath(const SendOptions& options) {
  std::string path = absl::StrCat(
      "/patches", WaitQuery(options.wait), "&dry_run=", options.dry_run ? 1 : 0,
      "&persist=", options.persist ? 1 : 0, "&allow_inlined=", options.allow_inlined ? 1 : 0);
  if (!options.canary.empty()) absl::StrAppend(&path, "&canary=", EncodeSegment(options.canary));
  for (const std::string& parameter : options.parameters) {
    absl::StrAppend(&path, "&param=", EncodeSegment(parameter));
  }
  return path;
}

std::string ShownFunction(const Json& function) {
  const std::string object = StringOf(function, "object");
  return absl::StrCat(object, object.empty() ? "" : ":", DisplayName(StringOf(function, "name")));
}

// Why a function is replaced: "changed (server.c:12)", "inlines parse".
std::string ReasonText(const Json& function) {
  const std::string reason = StringOf(function, "reason");
  const std::string detail = StringOf(function, "detail");
  if (!reason.empty() && reason != "changed") return absl::StrCat(reason, " ", detail);
  return detail.empty() ? "changed" : absl::StrCat("changed (", detail, ")");
}

void TellFunctions(const Json& report, std::string& out) {
  std::vector<std::string> back;
  for (const Json& function : FieldOf(report, "functions")) {
    const std::string name = ShownFunction(function);
    if (BoolOf(function, "nop")) {
      back.push_back(name);
      continue;
    }
    absl::StrAppendFormat(&out, "  %-10s %-32s %s\n", "replaced", name, ReasonText(function));
  }
  for (const Json& function : FieldOf(report, "added_functions")) {
    absl::StrAppendFormat(&out, "  %-10s %s\n", "added", ShownFunction(function));
  }
  for (const std::string& name : back) {
    absl::StrAppendFormat(&out, "  %-10s %s\n", "original", name);
  }
  for (const Json& held : FieldOf(report, "held")) {
    if (held.is_string()) {
      absl::StrAppendFormat(&out, "  %-10s %s\n", "held", DisplayName(held.get<std::string>()));
    }
  }
  for (const Json& old : FieldOf(report, "replaced_patches")) {
    if (old.is_string()) {
      absl::StrAppendFormat(&out, "  %-10s patch '%s'\n", "retired",
                            old.get<std::string>().c_str());
    }
  }
}

// What holds the thread up, and since when it has been seen there: it may have come earlier.
void TellStraggler(const Json& thread, std::string& out) {
  const Json& straggler = FieldOf(thread, "straggler");
  std::string held;
  if (straggler.is_object()) {
    const std::string function = StringOf(straggler, "function");
    const std::string detail = StringOf(straggler, "detail");
    held = absl::StrCat(function.empty() ? "" : " in ", DisplayName(function),
                        detail.empty() ? "" : absl::StrCat(" (", detail, ")"), ", for at least ",
                        ShowDuration(NumberOf(straggler, "since_ns")));
  }
  absl::StrAppendFormat(&out, "  %-10s thread %s '%s'%s\n", "waits for",
                        StringOf(thread, "tid").c_str(), StringOf(thread, "name").c_str(),
                        held.c_str());
}

void TellTransition(const Json& report, Outcome& told) {
  std::vector<std::string> phases;
  const Json& durations = FieldOf(report, "phases");
  for (const char* const phase : {"compile", "compare", "parse", "link", "check", "transition"}) {
    const std::string key = absl::StrCat(phase, "_ns");
    if (durations.is_object() && durations.contains(key)) {
      phases.push_back(absl::StrCat(phase, " ", ShowDuration(NumberOf(durations, key.c_str()))));
    }
  }
  if (!phases.empty()) {
    absl::StrAppendFormat(&told.out, "  %-10s %s\n", "phases", absl::StrJoin(phases, ", "));
  }
  const Json& transition = FieldOf(report, "transition");
  if (transition.is_object()) {
    std::vector<std::string> ways;
    const Json& switched = FieldOf(transition, "switched");
    for (const auto& [way, count] : switched.items()) {
      if (count.is_number() && count.get<int64_t>() > 0) {
        ways.push_back(absl::StrCat(count.get<int64_t>(), " ", way));
      }
    }
    if (!ways.empty()) {
      absl::StrAppendFormat(&told.out, "  %-10s %s\n", "switched", absl::StrJoin(ways, ", "));
    }
    const std::string forced = switched.is_object() ? ForcedText(NumberOf(switched, "forced")) : "";
    if (!forced.empty()) absl::StrAppendFormat(&told.err, "patchc: %s\n", forced.c_str());
    const std::string last = StringOf(transition, "last_straggler");
    if (!last.empty()) absl::StrAppendFormat(&told.out, "  %-10s %s\n", "last", last.c_str());
  }
  for (const Json& thread : FieldOf(report, "stragglers")) TellStraggler(thread, told.out);
}

std::string ShownTarget(const Target& target) {
  return absl::StrCat(target.name.empty() ? "target" : target.name, " (", target.pid, ")");
}

void TellOutcome(const Target& target, Outcome& told) {
  const Json& report = told.json;
  std::string& out = told.out;
  const std::string outcome = StringOf(report, "outcome");
  const std::string patch = StringOf(report, "patch");
  const std::string where = ShownTarget(target);
  if (outcome == "already_applied") {
    absl::StrAppendFormat(&out, "patch '%s' is applied to %s already: nothing to do\n",
                          patch.c_str(), where.c_str());
    return;
  }
  const char* what = "applied to";
  if (outcome == "migrating") what = "accepted, still migrating, by";
  if (outcome == "reversed") what = "timed out and was reversed in";
  if (outcome == "dry_run") what = "could be applied to";
  if (outcome == "canary") what = "is a canary, held until it is promoted or disabled, in";
  absl::StrAppendFormat(&out, "patch '%s' %s %s\n", patch.c_str(), what, where.c_str());
  TellFunctions(report, out);
  TellTransition(report, told);
}

std::vector<std::string> AppliedPatches(const Target& target) {
  std::vector<std::string> names;
  const absl::StatusOr<Reply> reply = Client(target.socket).Get("/status");
  if (!reply.ok()) return names;
  const Json status = Json::parse(reply->body, nullptr, /*allow_exceptions=*/false);
  for (const Json& patch : FieldOf(status, "patches")) {
    if (BoolOf(patch, "enabled")) names.push_back(StringOf(patch, "name"));
  }
  return names;
}

}  // namespace

void PrintOutcome(const Outcome& outcome) {
  ClearProgress();
  std::fputs(outcome.out.c_str(), stdout);
  std::fflush(stdout);
  std::fputs(outcome.err.c_str(), stderr);
}

Outcome MakeOutcome(const Target& target, int exit_code, const std::string& outcome) {
  Outcome made;
  made.exit_code = exit_code;
  made.json["schema"] = 1;
  made.json["exit_code"] = exit_code;
  made.json["outcome"] = outcome;
  made.json["target"] = absl::StrCat(target.pid);
  return made;
}

Outcome NotSent(const Target& target, const BuildReport& report, bool json) {
  const bool is_refused = !report.refusals.empty();
  Outcome outcome = MakeOutcome(target, is_refused ? kExitRefused : kExitOk,
                                report.no_change ? "no_change" : "refused");
  FillJson(report, outcome.json);
  if (!report.no_change) return outcome;
  // The sources given are the program's as it was built, which is not what it runs.
  const std::vector<std::string> applied = AppliedPatches(target);
  outcome.json["applied"] = applied;
  if (json) return outcome;
  absl::StrAppendFormat(&outcome.out, "no change: %zu unit(s) compared, nothing to apply\n",
                        report.units_compiled);
  for (const std::string& patch : applied) {
    absl::StrAppendFormat(&outcome.err,
                          "patchc: patch '%s' stays applied; mend disable %d '%s' takes it back\n",
                          patch.c_str(), target.pid, patch.c_str());
  }
  return outcome;
}

Outcome Failure(const Target& target, int exit_code, const std::string& message, bool json) {
  Outcome outcome;
  outcome.exit_code = exit_code;
  outcome.json["schema"] = 1;
  outcome.json["exit_code"] = exit_code;
  outcome.json["target"] = absl::StrCat(target.pid);
  outcome.json["message"] = message;
  const RefusalText* const refusal = FindRefusalIn(message);
  if (refusal != nullptr) outcome.json["code"] = RefusalId(refusal->code);
  if (!json) {
    absl::StrAppendFormat(&outcome.err, "patchc: %s\n", message.c_str());
    // Reports of patchc's own refusals end with it.
    if (refusal != nullptr && !absl::StrContains(message, "way out: ")) {
      absl::StrAppendFormat(&outcome.err, "  way out: %s\n", refusal->way_out);
    }
  }
  return outcome;
}

Outcome SendPatch(const Target& target, const std::string& module, const BuildReport* built,
                  const SendOptions& options) {
  const absl::StatusOr<Reply> reply = PostWithProgress(
      Client(target.socket), RequestPath(options), module, WaitingOptions(options.wait.timeout_s),
      "applying to " + ShownTarget(target));
  if (!reply.ok()) {
    return Failure(target, kExitUnreachable, std::string(Std(reply.status().message())),
                   options.json);
  }
  Outcome outcome;
  outcome.exit_code = ExitCodeOf(*reply);
  outcome.json = Json::parse(reply->body, nullptr, /*allow_exceptions=*/false);
  const bool has_report = !StringOf(outcome.json, "outcome").empty();
  if (!has_report) return Failure(target, outcome.exit_code, ErrorText(*reply), options.json);
  if (built != nullptr) {
    if (!FieldOf(outcome.json, "phases").is_object()) outcome.json["phases"] = Json::object();
    outcome.json["phases"]["compile_ns"] = absl::ToInt64Nanoseconds(built->compile_time);
    outcome.json["phases"]["compare_ns"] = absl::ToInt64Nanoseconds(built->compare_time);
    outcome.json["warnings"] = built->warnings;
    outcome.json["notes"] = built->notes;
    outcome.json["units_compiled"] = built->units_compiled;
    FillUnits(*built, outcome.json);
  }
  outcome.json["target"] = absl::StrCat(target.pid);
  if (!options.json) {
    TellOutcome(target, outcome);
    if (outcome.exit_code == kExitReversed) {
      absl::StrAppendFormat(&outcome.err, "patchc: %s\n", ErrorText(*reply).c_str());
    }
    if (outcome.exit_code == kExitOk && options.mentions_persist && !options.persist &&
        !options.dry_run && StringOf(outcome.json, "outcome") == "complete") {
      absl::StrAppendFormat(&outcome.err,
                            "patchc: the patch ends with the process; --persist keeps it\n");
    }
  }
  return outcome;
}

Outcome DisablePatch(const Target& target, const std::string& patch, const SendOptions& options) {
  const std::string path =
      absl::StrCat("/patches/", EncodeSegment(patch), "/disable", WaitQuery(options.wait));
  const absl::StatusOr<Reply> reply =
      PostWithProgress(Client(target.socket), path, "", WaitingOptions(options.wait.timeout_s),
                       "disabling " + patch);
  if (!reply.ok()) {
    return Failure(target, kExitUnreachable, std::string(Std(reply.status().message())),
                   options.json);
  }
  const int code = ExitCodeOf(*reply);
  if (code != kExitOk) return Failure(target, code, ErrorText(*reply), options.json);
  Outcome outcome = MakeOutcome(target, kExitOk, "disabled");
  outcome.json["patch"] = patch;
  if (!options.json) absl::StrAppendFormat(&outcome.out, "patch '%s' is disabled\n", patch.c_str());
  return outcome;
}

void AddWaitOptions(CLI::App& app, SendOptions& options) {
  app.add_option("--timeout", options.wait.timeout_s, "seconds to wait (default: 30)")
      ->check(SecondsProblem, "SECONDS");
  app.add_option("--on-timeout", options.wait.on_timeout, "what then (default: reverse)")
      ->check(CLI::IsMember({"reverse", "wait", "force"}));
}

}  // namespace mend::patchc
