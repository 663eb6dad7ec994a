// ps, status, threads, events: what runs, and how it is.
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "mend/commands/commands.h"

namespace mend {
namespace {

// The names of a status' enabled patches.
std::string EnabledPatches(const Json& status) {
  std::string names;
  for (const Json& patch : FieldOf(status, "patches")) {
    if (!BoolOf(patch, "enabled")) continue;
    absl::StrAppend(&names, names.empty() ? "" : ",", StringOf(patch, "name"));
  }
  return names.empty() ? "-" : names;
}

Json StatusOf(const Target& target) {
  const absl::StatusOr<Reply> reply =
      Client(target.socket).Get("/status", {.timeout = absl::Seconds(5)});
  return reply.ok() ? ParseObject(reply->body) : Json();
}

// One event as a line for people: its text, or its kind and subject when it has none.
std::string EventLine(const Json& event) {
  std::string text = Printable(StringOf(event, "text"));
  if (!text.empty()) return text;
  std::string line = StringOf(event, "kind");
  for (const char* key : {"patch", "object"}) {
    const std::string value = StringOf(event, key);
    if (!value.empty()) absl::StrAppend(&line, " ", key, "=", value);
  }
  const std::string tid = StringOf(event, "tid");
  if (!tid.empty() && tid != "0") absl::StrAppend(&line, " tid=", tid);
  return line;
}

void PrintEvent(std::string_view line, bool json) {
  if (json) {
    std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
  } else {
    const Json event = Json::parse(line, nullptr, false);
    std::printf("%s\n", EventLine(event).c_str());
  }
  std::fflush(stdout);
}

}  // namespace

int ListPrograms(bool json) {
  Json programs = Json::array();
  TextTable table({"PID", "NAME", "PATCHES", "TRANSITION", "SOCKET", "EXECUTABLE"});
  std::vector<pid_t> silent;
  for (const Target& target : ListTargets(&silent)) {
    const Json status = StatusOf(target);
    const Json& transition = FieldOf(status, "transition");
    const std::string running = transition.is_object() ? StringOf(transition, "patch") : "";
    table.Add({absl::StrCat(target.pid), target.name, EnabledPatches(status),
               running.empty() ? "-" : running, target.socket, target.executable});
    Json patches = Json::array();
    for (const Json& patch : FieldOf(status, "patches")) {
      if (BoolOf(patch, "enabled")) patches.push_back(StringOf(patch, "name"));
    }
    programs.push_back({{"pid", std::to_string(target.pid)},
                        {"name", target.name},
                        {"socket", target.socket},
                        {"executable", target.executable},
                        {"patches", std::move(patches)},
                        {"transition", running}});
  }
  if (json) {
    Json unanswered = Json::array();
    for (const pid_t pid : silent) unanswered.push_back(std::to_string(pid));
    const Json document = {
        {"schema", 1}, {"programs", std::move(programs)}, {"silent", std::move(unanswered)}};
    PrintJson(document);
  } else if (table.empty()) {
    std::fputs("mend: no program of yours is running\n", stderr);
  } else {
    std::fputs(table.Format().c_str(), stdout);
  }
  for (const std::string& text : SilentTexts(silent)) {
    std::fprintf(stderr, "mend: %s\n", text.c_str());
  }
  return kExitOk;
}

int ShowStatus(const std::string& target, bool json) {
  return OnTargets(target, json,
                   {[](const Client& client) { return client.Get("/status"); }, &StatusText});
}

int ShowThreads(const std::string& target, bool json) {
  return OnTargets(target, json,
                   {[](const Client& client) { return client.Get("/threads"); }, &ThreadsText});
}

int ShowEvents(const std::string& target, bool follow, bool json) {
  const absl::StatusOr<Target> found = FindTarget(target);
  if (!found.ok()) {
    const bool is_several = found.status().code() == absl::StatusCode::kFailedPrecondition;
    return ReportFailure(std::string(found.status().message()),
                         is_several ? kExitUsage : kExitUnreachable, json);
  }
  const absl::StatusOr<Reply> reply =
      Client(found->socket)
          .Follow(follow ? "/events?follow=1" : "/events", [json](std::string_view line) {
            PrintEvent(line, json);
            return std::ferror(stdout) == 0;
          });
  if (!reply.ok()) {
    return ReportFailure(std::string(reply.status().message()), kExitUnreachable, json);
  }
  if (!reply->ok()) std::fprintf(stderr, "%s\n", ErrorText(*reply).c_str());
  return ExitCodeOf(*reply);
}

}  // namespace mend
