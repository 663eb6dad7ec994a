// Carrying a verb out on the targets that a command line names.
#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "mend/commands/commands.h"

namespace mend {
namespace {

Json ParseAnswer(const std::string& body) {
  Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  return answer.is_discarded() ? Json(body) : answer;
}

// What one target answered.
struct TargetResult {
  int exit_code = kExitOk;
  Json answer;
};

TargetResult NotReached(const std::string& message) {
  TargetResult result;
  result.exit_code = kExitUnreachable;
  result.answer = {{"schema", 1},
                   {"errno", "ECONNREFUSED"},
                   {"message", message},
                   {"exit_code", kExitUnreachable}};
  return result;
}

TargetResult RunOn(const Target& target, bool several, bool json, const TargetVerb& verb) {
  const std::string prefix =
      several ? absl::StrCat(Printable(target.name), " (", target.pid, "): ") : "";
  const absl::StatusOr<Reply> reply = verb.request(Client(target.socket));
  if (!reply.ok()) {
    const std::string message(reply.status().message());
    std::fprintf(stderr, "%s%s\n", prefix.c_str(), message.c_str());
    return NotReached(message);
  }
  TargetResult result;
  result.exit_code = ExitCodeOf(*reply);
  result.answer = verb.plain && !json ? Json(reply->body) : ParseAnswer(reply->body);
  // A transition that was reversed is an answer with a report; other errors have only a message.
  const bool report = reply->ok() || result.answer.contains("outcome");
  if (!reply->ok()) std::fprintf(stderr, "%s%s\n", prefix.c_str(), ErrorText(*reply).c_str());
  if (report && !json) {
    const std::string text = verb.text(result.answer);
    if (!text.empty()) std::printf("%s%s", prefix.c_str(), text.c_str());
  }
  return result;
}

// A server's children that executed themselves anew do not have a patch that the others have. One
// that nobody has was misspelt.
void ForgiveAbsence(std::vector<std::pair<Target, TargetResult>>& results) {
  const auto did = [](const auto& entry) { return entry.second.exit_code == kExitOk; };
  if (std::none_of(results.begin(), results.end(), did)) return;
  for (auto& [target, result] : results) {
    if (StringOf(result.answer, "errno") == "ENOENT") result.exit_code = kExitOk;
  }
}

}  // namespace

int ReportFailure(const std::string& message, int exit_code, bool json) {
  std::fprintf(stderr, "mend: %s\n", message.c_str());
  if (json) PrintJson({{"schema", 1}, {"message", message}, {"exit_code", exit_code}});
  return exit_code;
}

int OnTargets(const std::string& operand, bool json, const TargetVerb& verb) {
  std::vector<std::pair<Target, TargetResult>> results;
  const absl::StatusOr<Unreached> unreached =
      VisitTargets(operand, /*at_once=*/1, [&](const Visit& visit) {
        const auto& [target, number, several] = visit;
        if (several && HasEnded(target)) return;
        TargetResult result = RunOn(target, several, json, verb);
        // A worker whose time was up; what it did not answer is on standard error.
        if (several && result.exit_code == kExitUnreachable && EndsSoon(target)) return;
        results.emplace_back(target, std::move(result));
      });
  if (!unreached.ok()) {
    return ReportFailure(std::string(unreached.status().message()), kExitUnreachable, json);
  }
  for (const Target& target : unreached->silent) {
    const std::string text = UnreachedText(target);
    std::fprintf(stderr, "mend: %s\n", text.c_str());
    results.emplace_back(target, NotReached(text));
  }
  for (const pid_t pid : unreached->without_socket) {
    std::fprintf(stderr, "mend: %s\n", UnreachedText(pid).c_str());
  }
  if (results.size() == 1) {
    if (json) PrintJson(results.front().second.answer);
    return results.front().second.exit_code;
  }
  if (verb.undoes) ForgiveAbsence(results);
  int exit_code = kExitOk;
  Json all = {{"schema", 1}, {"targets", Json::array()}};
  for (auto& [target, result] : results) {
    if (result.exit_code != kExitOk) exit_code = int{kExitSomeFailed};
    all["targets"].push_back({{"pid", std::to_string(target.pid)},
                              {"name", target.name},
                              {"exit_code", result.exit_code},
                              {"answer", std::move(result.answer)}});
  }
  if (json) PrintJson(all);
  return exit_code;
}

}  // namespace mend
