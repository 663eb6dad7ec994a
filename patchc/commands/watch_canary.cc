#include "patchc/commands/watch_canary.h"

#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "mend/client.h"
#include "mend/json.h"
#include "patchc/commands/interrupt.h"

extern char** environ;

namespace mend::patchc {
namespace {

// A health command that takes longer has failed.
constexpr absl::Duration kHealthMax = absl::Seconds(60);

pid_t SpawnShell(const std::string& command) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  // A group of its own, so that what the command starts ends with it.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  // Standard output is the report's.
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  const char* const arguments[] = {"sh", "-c", command.c_str(), nullptr};
  pid_t pid = -1;
  errno = posix_spawn(&pid, "/bin/sh", &files, &attributes, const_cast<char* const*>(arguments),
                      environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return errno == 0 ? pid : -1;
}

// What is wrong; empty: nothing. An interrupt ends the command.
std::string RunHealthCommand(const std::string& command, int interrupt, bool* interrupted) {
  const pid_t pid = SpawnShell(command);
  if (pid < 0) return absl::StrCat("cannot be run: ", std::strerror(errno));
  // Without pidfds (kernels before 5.3) it is waited for, however long it takes.
  const int end = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  pollfd waits[] = {{.fd = end, .events = POLLIN, .revents = 0},
                    {.fd = interrupt, .events = POLLIN, .revents = 0}};
  bool ended = end < 0;
  if (!ended) {
    const int ready = poll(waits, 2, static_cast<int>(absl::ToInt64Milliseconds(kHealthMax)));
    *interrupted = ready > 0 && waits[1].revents != 0 && WasInterrupted(interrupt);
    ended = ready > 0 && waits[0].revents != 0;
    if (!ended) kill(-pid, SIGKILL);
    close(end);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (*interrupted) return "";
  if (!ended) return "did not end within a minute";
  if (WIFSIGNALED(status)) return absl::StrCat("died by signal ", WTERMSIG(status));
  return WEXITSTATUS(status) == 0 ? "" : absl::StrCat("exited with ", WEXITSTATUS(status));
}

class Watcher {
 public:
  Watcher(std::vector<HeldCanary> canaries, const CanaryOptions& options, const SendOptions& send)
      : canaries_(std::move(canaries)), options_(options), send_(send) {}

  void Run() {
    const int interrupt = InterruptDescriptor();
    const absl::Time begin = absl::Now();
    Say(absl::StrCat("the canary is held in ", canaries_.size(),
                     canaries_.size() == 1 ? " process" : " processes", "; Ctrl-C leaves it so"));
    while (true) {
      LetGoOfSettled();
      if (canaries_.empty()) break;
      bool interrupted = false;
      if (!options_.health.empty()) {
        const std::string wrong = RunHealthCommand(options_.health, interrupt, &interrupted);
        if (!wrong.empty()) {
          TakeBack(wrong);
          break;
        }
      }
      const absl::Duration held = absl::Now() - begin;
      if (!interrupted && options_.promote_after_s > 0 &&
          held >= absl::Seconds(options_.promote_after_s)) {
        Promote();
        break;
      }
      if (interrupted || Sleep(interrupt, held)) {
        LeaveHeld();
        break;
      }
    }
    close(interrupt);
  }

 private:
  void Say(const std::string& text) const {
    if (!send_.json) std::fprintf(stderr, "patchc: %s\n", text.c_str());
  }

  // Until the next look; true when interrupted.
  bool Sleep(int interrupt, absl::Duration held) const {
    absl::Duration pause = std::min(absl::Seconds(options_.period_s), absl::Hours(24));
    if (options_.promote_after_s > 0) {
      pause = std::min(pause, absl::Seconds(options_.promote_after_s) - held);
    }
    pollfd wait = {.fd = interrupt, .events = POLLIN, .revents = 0};
    const int64_t milliseconds = absl::ToInt64Milliseconds(pause) + 1;
    return poll(&wait, 1, static_cast<int>(milliseconds)) > 0 && WasInterrupted(interrupt);
  }

  void Set(const HeldCanary& canary, int exit_code, const std::string& outcome) const {
    canary.outcome->exit_code = exit_code;
    canary.outcome->json["exit_code"] = exit_code;
    canary.outcome->json["outcome"] = outcome;
  }

  std::string Where(const HeldCanary& canary) const {
    return absl::StrCat("patch '", canary.patch, "' in ", canary.target.name, " (",
                        canary.target.pid, ")");
  }

  // Whether somebody else has decided, or the process is gone.
  bool IsSettled(const HeldCanary& canary) const {
    const absl::StatusOr<Reply> reply = Client(canary.target.socket).Get("/status");
    const Json status = reply.ok() ? ParseObject(reply->body) : Json();
    if (status.is_null()) {
      if (!HasEnded(canary.target)) return false;  // asked again
      Set(canary, kExitOk, "ended");
      Say(absl::StrCat(canary.target.name, " (", canary.target.pid, ") has ended"));
      return true;
    }
    const Json& transition = FieldOf(status, "transition");
    if (StringOf(transition, "patch") == canary.patch) {
      if (FieldOf(transition, "canary").is_object()) return false;
      return SetSettled(canary, StringOf(transition, "direction") == "patching");
    }
    bool enabled = false;
    for (const Json& patch : FieldOf(status, "patches")) {
      if (StringOf(patch, "name") == canary.patch) enabled = BoolOf(patch, "enabled");
    }
    return SetSettled(canary, enabled);
  }

  bool SetSettled(const HeldCanary& canary, bool enabled) const {
    Set(canary, enabled ? kExitOk : kExitReversed, enabled ? "complete" : "reversed");
    Say(absl::StrCat(Where(canary), " was ", enabled ? "promoted" : "taken back"));
    return true;
  }

  void LetGoOfSettled() {
    std::erase_if(canaries_, [this](const HeldCanary& canary) { return IsSettled(canary); });
  }

  void TakeBack(const std::string& wrong) const {
    std::fprintf(stderr, "patchc: the health command %s\n", wrong.c_str());
    SendOptions quiet = send_;
    quiet.json = true;
    for (const HeldCanary& canary : canaries_) {
      const Outcome disabled = DisablePatch(canary.target, canary.patch, quiet);
      canary.outcome->json["health"] = wrong;
      const bool off = disabled.exit_code == kExitOk;
      Set(canary, off ? static_cast<int>(kExitReversed) : disabled.exit_code,
          off ? "reversed" : "canary");
      Say(absl::StrCat(Where(canary), off ? " is disabled" : " could not be disabled"));
    }
  }

  void Promote() const {
    for (const HeldCanary& canary : canaries_) {
      const std::string path =
          absl::StrCat("/patches/", EncodeSegment(canary.patch), "/promote", WaitQuery(send_.wait));
      const absl::StatusOr<Reply> reply =
          Client(canary.target.socket)
              .Post(path, "",
                    {.timeout = absl::Seconds(2 * BoundedTimeout(send_.wait.timeout_s)) +
                                absl::Minutes(1)});
      const int code = reply.ok() ? ExitCodeOf(*reply) : static_cast<int>(kExitUnreachable);
      Set(canary, code,
          code == kExitOk         ? "complete"
          : code == kExitReversed ? "reversed"
                                  : "canary");
      Say(absl::StrCat(Where(canary), code == kExitOk ? " is promoted" : " could not be promoted: ",
                       code == kExitOk ? ""
                       : reply.ok()    ? ErrorText(*reply)
                                       : "no answer"));
    }
  }

  void LeaveHeld() const {
    for (const HeldCanary& canary : canaries_) {
      Set(canary, kExitMigrating, "canary");
      Say(absl::StrCat(Where(canary), " is held: mend promote or mend disable it"));
    }
  }

  std::vector<HeldCanary> canaries_;
  const CanaryOptions& options_;
  const SendOptions& send_;
};

}  // namespace

void AddCanaryOptions(CLI::App& app, CanaryOptions& options) {
  app.add_option("--health", options.health,
                 "with --canary: shell command; when it fails the patch is disabled");
  app.add_option("--health-period", options.period_s, "seconds between two runs of it (default: 1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--promote-after", options.promote_after_s,
                 "with --canary: seconds after which all threads switch")
      ->check(CLI::PositiveNumber);
}

void WatchCanaries(std::vector<HeldCanary> canaries, const CanaryOptions& options,
                   const SendOptions& send) {
  Watcher(std::move(canaries), options, send).Run();
}

}  // namespace mend::patchc
