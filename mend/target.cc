#include "mend/target.h"

#include <dirent.h>
#include <fnmatch.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "mend/client.h"
#include "runtime/control/socket_place.h"

namespace mend {
namespace {

// A string field of an answer; "" when it is missing or something else.
std::string StringField(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Asks the program behind a socket who it is.
absl::StatusOr<Target> AskTarget(const std::string& socket) {
  const absl::StatusOr<Reply> reply =
      Client(socket).Get("/program", {.timeout = absl::Seconds(5), .content_type = ""});
  if (!reply.ok()) return reply.status();
  const nlohmann::json object = nlohmann::json::parse(reply->body, nullptr, false);
  if (!reply->ok() || !object.is_object()) {
    return absl::PermissionDeniedError(
        absl::StrCat("target at '", socket, "' refuses: ", ErrorText(*reply)));
  }
  Target target;
  target.socket = socket;
  target.name = StringField(object, "name");
  target.executable = StringField(object, "executable");
  if (!absl::SimpleAtoi(StringField(object, "pid"), &target.pid)) {
    return absl::UnavailableError(absl::StrCat("'", socket, "' is no control socket of mend"));
  }
  return target;
}

// The sockets in a directory, by process id; nothing if the directory is not to be trusted.
std::vector<std::pair<pid_t, std::string>> SocketsIn(const std::string& directory) {
  std::vector<std::pair<pid_t, std::string>> sockets;
  if (!CheckSocketDirectory(directory).ok()) return sockets;
  DIR* const stream = ::opendir(directory.c_str());
  if (stream == nullptr) return sockets;
  while (const dirent* entry = ::readdir(stream)) {
    absl::string_view name = entry->d_name;
    pid_t pid = 0;
    if (!absl::ConsumeSuffix(&name, ".sock") || !absl::SimpleAtoi(name, &pid)) continue;
    sockets.emplace_back(pid, absl::StrCat(directory, "/", entry->d_name));
  }
  ::closedir(stream);
  return sockets;
}

// Clears away what a process left that was killed, or that executed another program: its number is
// no process's any more and nobody listens.
void RemoveIfStale(pid_t pid, const std::string& socket, const absl::Status& failure) {
  const bool gone = ::kill(pid, 0) != 0 && errno == ESRCH;
  if (gone && failure.code() == absl::StatusCode::kUnavailable) ::unlink(socket.c_str());
}

bool IsProcessId(const std::string& operand, pid_t* pid) {
  return operand.find_first_not_of("0123456789") == std::string::npos &&
         absl::SimpleAtoi(operand, pid) && *pid > 0;
}

absl::StatusOr<std::vector<Target>> FindByProcess(pid_t pid) {
  absl::Status failure = absl::NotFoundError(
      absl::StrCat("process ", pid,
                   " has no control socket: it does not run, is not hosted by mend, "
                   "or was started with --no-socket"));
  for (const std::string& directory : SocketDirectories()) {
    for (const auto& [socket_pid, socket] : SocketsIn(directory)) {
      if (socket_pid != pid) continue;
      absl::StatusOr<Target> target = AskTarget(socket);
      if (target.ok()) return std::vector<Target>{*std::move(target)};
      failure = target.status();
    }
  }
  return failure;
}

}  // namespace

std::vector<Target> ListTargets() {
  std::vector<Target> targets;
  for (const std::string& directory : SocketDirectories()) {
    for (const auto& [pid, socket] : SocketsIn(directory)) {
      absl::StatusOr<Target> target = AskTarget(socket);
      if (target.ok()) {
        targets.push_back(*std::move(target));
      } else {
        RemoveIfStale(pid, socket, target.status());
      }
    }
  }
  std::sort(targets.begin(), targets.end(),
            [](const Target& a, const Target& b) { return a.pid < b.pid; });
  return targets;
}

absl::StatusOr<std::vector<Target>> FindTargets(const std::string& operand) {
  if (operand.empty()) return absl::InvalidArgumentError("an empty target name");
  pid_t pid = 0;
  if (IsProcessId(operand, &pid)) return FindByProcess(pid);
  if (operand.find('/') != std::string::npos) {
    absl::StatusOr<Target> target = AskTarget(operand);
    if (!target.ok()) return target.status();
    return std::vector<Target>{*std::move(target)};
  }
  std::vector<Target> matching;
  for (Target& target : ListTargets()) {
    if (::fnmatch(operand.c_str(), target.name.c_str(), 0) == 0)
      matching.push_back(std::move(target));
  }
  if (matching.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no running program is called '", operand, "' (see mend ps)"));
  }
  return matching;
}

absl::StatusOr<Target> FindTarget(const std::string& operand) {
  absl::StatusOr<std::vector<Target>> targets = FindTargets(operand);
  if (!targets.ok()) return targets.status();
  if (targets->size() == 1) return std::move(targets->front());
  return absl::FailedPreconditionError(
      absl::StrCat("'", operand, "' matches several programs: ",
                   absl::StrJoin(*targets, ", ", [](std::string* out, const Target& target) {
                     absl::StrAppend(out, target.name, " (", target.pid, ")");
                   })));
}

}  // namespace mend
