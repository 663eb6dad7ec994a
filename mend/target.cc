#include "mend/target.h"

#include <dirent.h>
#include <fnmatch.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>
#include <deque>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mend/client.h"
#include "mend/json.h"
#include "runtime/control/socket_place.h"

namespace mend {
namespace {

// How long a process may take to make its control socket after a fork.
constexpr absl::Duration kSocketWait = absl::Seconds(1);
// A server that forks all the time is not followed for ever.
constexpr absl::Duration kFollowTime = absl::Seconds(5);
constexpr absl::Duration kLookInterval = absl::Milliseconds(20);
constexpr size_t kAskedAtOnce = 32;

// Asks the program behind a socket who it is.
absl::StatusOr<Target> AskTarget(const std::string& socket) {
  const absl::StatusOr<Reply> reply =
      Client(socket).Get("/program", {.timeout = absl::Seconds(5), .content_type = ""});
  if (!reply.ok()) return reply.status();
  const Json answer = ParseObject(reply->body);
  if (!reply->ok() || answer.is_null()) {
    return absl::PermissionDeniedError(
        absl::StrCat("target at '", socket, "' refuses: ", ErrorText(*reply)));
  }
  Target target;
  target.socket = socket;
  target.name = StringOf(answer, "name");
  target.executable = StringOf(answer, "executable");
  if (!absl::SimpleAtoi(StringOf(answer, "pid"), &target.pid)) {
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

// Who is behind each of the sockets. Asks several at a time: some may take until their time is
// over.
std::vector<absl::StatusOr<Target>> AskTargets(
    const std::vector<std::pair<pid_t, std::string>>& sockets) {
  std::vector<absl::StatusOr<Target>> answers(sockets.size());
  std::atomic<size_t> next = 0;
  const auto ask = [&] {
    for (size_t i = next++; i < sockets.size(); i = next++) {
      answers[i] = AskTarget(sockets[i].second);
    }
  };
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < std::min(sockets.size(), kAskedAtOnce); ++i) helpers.emplace_back(ask);
  ask();
  for (std::thread& helper : helpers) helper.join();
  return answers;
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

// The file that a process executes; "" when that cannot be told.
std::string ExecutableOf(const std::string& pid) {
  char path[PATH_MAX];
  const ssize_t size = ::readlink(absl::StrCat("/proc/", pid, "/exe").c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : std::string();
}

// The processes that execute one of the files.
std::set<pid_t> ProcessesOf(const std::set<std::string>& executables) {
  std::set<pid_t> processes;
  DIR* const stream = ::opendir("/proc");
  if (stream == nullptr) return processes;
  while (const dirent* entry = ::readdir(stream)) {
    pid_t pid = 0;
    if (!IsProcessId(entry->d_name, &pid)) continue;
    if (executables.contains(ExecutableOf(entry->d_name))) processes.insert(pid);
  }
  ::closedir(stream);
  return processes;
}

// In clock ticks since the machine was started, as the kernel tells when a process was.
int64_t NowInTicks() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const int64_t ticks = ::sysconf(_SC_CLK_TCK);
  return now.tv_sec * ticks + now.tv_nsec * ticks / 1'000'000'000;
}

struct Birth {
  pid_t parent = 0;
  int64_t ticks = 0;
};

// By whom and when a process was forked; nothing when it has ended.
std::optional<Birth> BirthOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text;
  std::getline(file, text);
  // The second field is a name in parentheses, which may contain anything.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields =
      absl::StrSplit(text.substr(name_end + 1), ' ', absl::SkipEmpty());
  Birth birth;
  constexpr size_t kParent = 1;
  constexpr size_t kStart = 19;
  if (fields.size() <= kStart || !absl::SimpleAtoi(fields[kParent], &birth.parent) ||
      !absl::SimpleAtoi(fields[kStart], &birth.ticks)) {
    return std::nullopt;
  }
  return birth;
}

// The visits of VisitTargets, and what they have left to do. Its methods are for one thread.
class TargetVisitor {
 public:
  TargetVisitor(size_t at_once, const std::function<void(const Visit&)>& visit)
      : at_once_(at_once), visit_(visit) {}
  TargetVisitor(const TargetVisitor&) = delete;
  TargetVisitor& operator=(const TargetVisitor&) = delete;
  ~TargetVisitor() {
    {
      const absl::MutexLock lock(&mu_);
      is_over_ = true;
    }
    for (std::thread& thread : threads_) thread.join();
  }

  // Begins the visits of those that are new.
  void Add(const std::vector<Target>& targets) {
    for (const Target& target : targets) {
      if (!found_.insert(target.socket).second) continue;
      const std::string executable = ExecutableOf(absl::StrCat(target.pid));
      if (!executable.empty()) executables_.insert(executable);
      const size_t number = found_.size() - 1;
      Turn turn{target, number, targets.size() > 1 || number > 0};
      if (at_once_ == 1) {
        Take(turn);
        continue;
      }
      const absl::MutexLock lock(&mu_);
      under_way_.insert(target.pid);
      waiting_.push_back(std::move(turn));
      if (threads_.size() < std::min(at_once_, under_way_.size())) {
        threads_.emplace_back([this] { TakeTurns(); });
      }
    }
  }

  // Processes of the same programs that may have been forked before their parent's visit was over.
  std::set<pid_t> Missing() {
    std::set<pid_t> missing;
    const std::set<pid_t> processes = ProcessesOf(executables_);
    const absl::MutexLock lock(&mu_);
    for (const pid_t pid : processes) {
      const std::optional<Birth> birth = BirthOf(pid);
      if (!birth || known_.contains(pid) || under_way_.contains(pid)) continue;
      const auto parent = known_.find(birth->parent);
      if (parent == known_.end() || birth->ticks <= parent->second) missing.insert(pid);
    }
    return missing;
  }

  // A target of another name.
  void Ignore(pid_t pid) {
    const absl::MutexLock lock(&mu_);
    if (!under_way_.contains(pid)) known_.try_emplace(pid, 0);
  }

  // Whether all visits are over; waits for that no longer than so.
  bool AwaitIdle(absl::Duration wait) {
    const absl::MutexLock lock(&mu_);
    const auto is_idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return under_way_.empty(); };
    return mu_.AwaitWithTimeout(absl::Condition(&is_idle), wait);
  }

 private:
  struct Turn {
    Target target;
    size_t number;
    bool is_one_of_several;
  };

  void Take(const Turn& turn) {
    visit_({turn.target, turn.number, turn.is_one_of_several});
    const absl::MutexLock lock(&mu_);
    known_[turn.target.pid] = NowInTicks();
    under_way_.erase(turn.target.pid);
  }

  void TakeTurns() {
    const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return is_over_ || !waiting_.empty();
    };
    while (true) {
      std::optional<Turn> turn;
      {
        const absl::MutexLock lock(&mu_);
        mu_.Await(absl::Condition(&has_work));
        if (waiting_.empty()) return;
        turn = std::move(waiting_.front());
        waiting_.pop_front();
      }
      Take(*turn);
    }
  }

  const size_t at_once_;
  const std::function<void(const Visit&)>& visit_;
  std::set<std::string> found_;  // by socket
  std::set<std::string> executables_;
  std::vector<std::thread> threads_;
  absl::Mutex mu_;
  std::deque<Turn> waiting_ ABSL_GUARDED_BY(mu_);
  std::set<pid_t> under_way_ ABSL_GUARDED_BY(mu_);  // waiting or visited just now
  std::map<pid_t, int64_t> known_
      ABSL_GUARDED_BY(mu_);  // when their visit was over; 0: not visited
  bool is_over_ ABSL_GUARDED_BY(mu_) = false;
};

Unreached UnreachedOf(const std::set<pid_t>& missing, const std::vector<pid_t>& silent) {
  Unreached unreached;
  for (const pid_t pid : missing) {
    if (std::find(silent.begin(), silent.end(), pid) == silent.end()) {
      unreached.without_socket.push_back(pid);
      continue;
    }
    Target target;
    target.pid = pid;
    target.executable = ExecutableOf(absl::StrCat(pid));
    target.name = target.executable.substr(target.executable.rfind('/') + 1);
    unreached.silent.push_back(std::move(target));
  }
  return unreached;
}

absl::StatusOr<std::vector<Target>> FindByProcess(pid_t pid) {
  absl::Status failure = absl::NotFoundError(
      absl::StrCat("process ", pid,
                   " has no control socket: it does not run, is not hosted by mend, "
                   "or was started with --no-socket, or with --socket: then the path names it"));
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

std::vector<Target> ListTargets(std::vector<pid_t>* silent) {
  std::vector<std::pair<pid_t, std::string>> sockets;
  for (const std::string& directory : SocketDirectories()) {
    for (auto& found : SocketsIn(directory)) sockets.push_back(std::move(found));
  }
  const std::vector<absl::StatusOr<Target>> answers = AskTargets(sockets);
  std::vector<Target> targets;
  for (size_t i = 0; i < sockets.size(); ++i) {
    const auto& [pid, socket] = sockets[i];
    if (answers[i].ok()) {
      targets.push_back(*answers[i]);
    } else {
      const bool is_silent = absl::IsDeadlineExceeded(answers[i].status());
      if (is_silent && silent != nullptr && ::kill(pid, 0) == 0) silent->push_back(pid);
      RemoveIfStale(pid, socket, answers[i].status());
    }
  }
  std::sort(targets.begin(), targets.end(),
            [](const Target& a, const Target& b) { return a.pid < b.pid; });
  return targets;
}

std::vector<std::string> SilentTexts(const std::vector<pid_t>& silent) {
  std::vector<std::string> texts;
  for (const pid_t pid : silent) {
    texts.push_back(
        absl::StrCat("process ", pid, " (", ExecutableOf(absl::StrCat(pid)), ") does not answer"));
  }
  return texts;
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
  std::vector<pid_t> silent;
  for (Target& target : ListTargets(&silent)) {
    if (::fnmatch(operand.c_str(), target.name.c_str(), 0) == 0) {
      matching.push_back(std::move(target));
    }
  }
  if (matching.empty()) {
    std::string problem =
        absl::StrCat("no running program is called '", operand, "' (see mend ps)");
    for (const std::string& text : SilentTexts(silent)) absl::StrAppend(&problem, "; ", text);
    return absl::NotFoundError(problem);
  }
  return matching;
}

absl::StatusOr<Unreached> VisitTargets(const std::string& operand, size_t at_once,
                                       const std::function<void(const Visit&)>& visit) {
  const absl::StatusOr<std::vector<Target>> found = FindTargets(operand);
  if (!found.ok()) return found.status();
  TargetVisitor visitor(at_once, visit);
  visitor.Add(*found);
  pid_t pid = 0;
  if (IsProcessId(operand, &pid) || operand.find('/') != std::string::npos) {
    visitor.AwaitIdle(absl::InfiniteDuration());
    return Unreached();
  }
  std::vector<pid_t> silent;
  // Each has its time from when it was first seen: a server may fork all the time.
  std::map<pid_t, absl::Time> first_seen;
  absl::Time begin = absl::Now();
  while (true) {
    const bool is_idle = visitor.AwaitIdle(kLookInterval);
    const std::set<pid_t> missing = visitor.Missing();
    const absl::Time now = absl::Now();
    if (!is_idle) begin = now;
    const bool is_over = std::all_of(missing.begin(), missing.end(), [&](pid_t process) {
      return now - first_seen.try_emplace(process, now).first->second > kSocketWait;
    });
    if (is_over && is_idle) return UnreachedOf(missing, silent);
    if (now - begin > kFollowTime) return Unreached();
    if (is_idle) absl::SleepFor(kLookInterval);
    if (is_over) continue;
    std::vector<Target> matching;
    silent.clear();
    for (Target& target : ListTargets(&silent)) {
      if (::fnmatch(operand.c_str(), target.name.c_str(), 0) == 0) {
        matching.push_back(std::move(target));
      } else {
        visitor.Ignore(target.pid);
      }
    }
    visitor.Add(matching);
  }
}

std::string UnreachedText(const Target& silent) {
  return absl::StrCat("process ", silent.pid, " (", silent.executable,
                      ") runs the same program and does not answer: it is left as it is");
}

std::string UnreachedText(pid_t without_socket) {
  return absl::StrCat("process ", without_socket,
                      " runs the same program and has no control socket that is found here: it is "
                      "left as it is");
}

bool HasEnded(const Target& target) {
  // One that its parent has not waited for yet executes nothing any more.
  char byte;
  const std::string path = absl::StrCat("/proc/", target.pid, "/exe");
  return ::readlink(path.c_str(), &byte, 1) < 0 && (errno == ENOENT || errno == ESRCH);
}

bool EndsSoon(const Target& target) {
  constexpr absl::Duration kWait = absl::Seconds(5);
  constexpr absl::Duration kPoll = absl::Milliseconds(10);
  const absl::Time end = absl::Now() + kWait;
  while (!HasEnded(target)) {
    if (absl::Now() >= end) return false;
    absl::SleepFor(kPoll);
  }
  return true;
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
