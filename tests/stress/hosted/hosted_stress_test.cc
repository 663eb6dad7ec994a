// The promise under attack: a hosted program (agree.cc) whose threads loop, recurse, block, sort,
// throw, spawn and handle signals, patched at random through its control socket. Afterwards it says
// how many units it ran and how many of them saw two versions.
//
// The oracle is shown to work: the same run without holding the callers, and the same run with the
// stack check switched off, must report mixes.
//
// What counts is how many transitions were completed, as the program's own log says; the run ends
// after a thousand of them, or earlier when the machine is slow. MEND_STRESS_TRANSITIONS sets
// their number, and then there is no other end; MEND_STRESS_SEED sets the random sequence.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mend/client.h"

namespace mend {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHeld[] = {"HeldLoop()",
                                 "HeldRecursion(int, int)",
                                 "HeldCondition()",
                                 "HeldSleep()",
                                 "HeldRead()",
                                 "HeldPoll(int)",
                                 "HeldLock()",
                                 "HeldSort()",
                                 "HeldThrow()",
                                 "HeldSpawn()",
                                 "HeldFuture()",
                                 "HeldHandler(int)",
                                 "CompareAndCheck(void const*, void const*)"};
constexpr int kVersions = 3;

unsigned long EnvironmentNumber(const char* name, unsigned long otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoul(value, nullptr, 10);
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A hosted agree.cc: standard input is a pipe that ends it, standard output one that it reports to;
// its standard error is the file `stderr` in its directory.
class HostedProgram {
 public:
  HostedProgram(const fs::path& executable, const fs::path& directory, const std::string& options) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::abort();
    socket_ = directory / "control.sock";
    const std::string variable = absl::StrCat("--log ", (directory / "log").string(), " --socket ",
                                              socket_.string(), " ", options);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      dup2(open((directory / "stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      setenv("MEND_OPTIONS", variable.c_str(), 1);
      execl(executable.c_str(), executable.c_str(), "2", nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    stdout_ = fdopen(out[0], "r");
  }
  ~HostedProgram() {
    if (stdin_ >= 0) close(stdin_);
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    fclose(stdout_);
  }
  HostedProgram(const HostedProgram&) = delete;
  HostedProgram& operator=(const HostedProgram&) = delete;

  std::string ReadLine() {
    char line[256] = "";
    if (fgets(line, sizeof line, stdout_) == nullptr) return "";
    return line;
  }

  // Ends standard input; returns the report line. `*status` gets the wait status.
  std::string Finish(int* status) {
    close(stdin_);
    stdin_ = -1;
    const std::string report = ReadLine();
    waitpid(pid_, status, 0);
    pid_ = -1;
    return report;
  }

  size_t ResidentKilobytes() const {
    std::ifstream statm(absl::StrCat("/proc/", pid_, "/statm"));
    size_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * 4;
  }

  bool IsDead() const {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }

  std::string socket() const { return socket_; }

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;
  FILE* stdout_ = nullptr;
  fs::path socket_;
};

// How long a run goes on: `most` transitions, or for `time` and `least` of them.
struct Length {
  unsigned long least = 20;
  unsigned long most = 20;
  absl::Duration time = absl::ZeroDuration();
};

struct Outcome {
  unsigned long units = 0;
  unsigned long mixes = 0;
  unsigned long requests = 0;
  unsigned long transitions = 0;  // completed, in whatever direction
  unsigned long refused = 0;
  unsigned long timed_out = 0;  // and reversed: a starved machine, or a thread that never switches
  bool died = false;            // where it may
  unsigned long threads_seen = 0;
  unsigned long threads_blocked = 0;
  size_t early_kilobytes = 0;
  size_t late_kilobytes = 0;
  std::string late_bytes;  // the patches that the program keeps, a line each
};

// Counts the transitions that a log says were completed.
class TransitionCounter {
 public:
  explicit TransitionCounter(const fs::path& log) : log_(log) {}
  unsigned long Count() {
    for (std::string line; std::getline(log_, line);) {
      if (line.ends_with("patching complete")) ++count_;
    }
    log_.clear();  // what is written later is read later
    return count_;
  }

 private:
  std::ifstream log_;
  unsigned long count_ = 0;
};

class HostedStressTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mend-stress-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    program_ = directory_ / "agree";
    source_ = directory_ / "agree.cc";
    fs::copy_file(MEND_AGREE_SOURCE, source_);
    Run(absl::StrCat(MEND_PATCHC, " c++ -std=c++20 -O2 -pthread ", source_.string(), " -o ",
                     program_.string()));
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Run(const std::string& command) {
    const std::string log = directory_ / "command.log";
    const int status = std::system(absl::StrCat(command, " > ", log, " 2>&1").c_str());
    ASSERT_EQ(status, 0) << command << "\n" << ReadFile(log);
  }

  // The patch module that makes kVersion `version`; returns its bytes.
  std::string BuildPatch(int version, bool hold) {
    const std::string original = ReadFile(source_);
    const std::string line = "constexpr int kVersion = ";
    std::string changed = original;
    changed.replace(changed.find(line) + line.size(), 1, std::to_string(version));
    const fs::path edited = directory_ / absl::StrCat("v", version);
    fs::create_directories(edited);
    std::ofstream(edited / "agree.cc") << changed;
    const fs::path module = edited / "v.mendpatch";
    std::string command =
        absl::StrCat(MEND_PATCHC, " build -o ", module.string(), " --name v", version, " --base ",
                     program_.string(), " ", (edited / "agree.cc").string());
    for (const char* held : kHeld) {
      if (hold) absl::StrAppend(&command, " --hold '", held, "'");
    }
    Run(command);
    return ReadFile(module);
  }

  // A program that did not answer, in a test in which it may die: counts the mixes that it told of.
  bool HasDiedAsItMay(Outcome* outcome) const {
    if (!may_die_ || !AwaitDeath()) return false;
    outcome->died = true;
    const std::string said = ReadFile(directory_ / "stderr");
    for (size_t at = 0; (at = said.find("mix in ", at)) != std::string::npos; ++at) {
      ++outcome->mixes;
    }
    return true;
  }

  // One random request. Its answer must be one that the contract names.
  void Request(const Client& client, const std::vector<std::string>& modules,
               std::mt19937_64& random, Outcome* outcome) {
    const size_t choice = random() % 10;
    const size_t version = random() % modules.size();
    absl::StatusOr<Reply> reply;
    // Longer than a transition may take before it is reversed.
    const RequestOptions patience{.timeout = absl::Seconds(60)};
    if (choice < 7) {
      // Some without waiting, so that the next request meets a running transition.
      const char* wait = choice < 5 ? "no_wait=0" : "no_wait=1";
      reply = client.Post(absl::StrCat("/patches?timeout_ns=30000000000&", wait), modules[version],
                          patience);
    } else if (choice < 9) {
      reply = client.Post(absl::StrCat("/patches/v", version + 1, "/disable"), "", patience);
    } else {
      reply = client.Post(absl::StrCat("/patches/v", version + 1, "/reverse"), "", patience);
    }
    ++outcome->requests;
    if (!reply.ok() && HasDiedAsItMay(outcome)) return;
    ASSERT_TRUE(reply.ok()) << reply.status();
    const int exit_code = ExitCodeOf(*reply);
    ASSERT_TRUE(exit_code == 0 || (exit_code >= 3 && exit_code <= 5)) << reply->body;
    if (exit_code == 4) ++outcome->timed_out;
    if (exit_code == 3) ++outcome->refused;
  }

  // Looks where the program's threads are.
  void SampleThreads(const Client& client, Outcome* outcome) {
    const absl::StatusOr<Reply> reply = client.Get("/threads");
    if (!reply.ok() && HasDiedAsItMay(outcome)) return;
    ASSERT_TRUE(reply.ok()) << reply.status();
    const auto document = nlohmann::json::parse(reply->body, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(document.is_object()) << reply->body;
    for (const auto& thread : document["threads"]) {
      ++outcome->threads_seen;
      if (thread["where"] == "blocked") ++outcome->threads_blocked;
    }
  }

  // Which patches the program keeps, and how much text they have.
  std::string KeptBytes(const Client& client) {
    const absl::StatusOr<Reply> reply = client.Get("/metrics");
    std::string kept;
    if (!reply.ok()) return reply.status().ToString();
    for (const absl::string_view line : absl::StrSplit(reply->body, '\n')) {
      if (absl::StartsWith(line, "mend_patch_text_bytes{")) absl::StrAppend(&kept, line, "\n");
    }
    return kept;
  }

  void Attack(const Client& client, const std::vector<std::string>& modules, const Length& length,
              Outcome* outcome) {
    std::mt19937_64 random(EnvironmentNumber("MEND_STRESS_SEED", 1));
    TransitionCounter completed(directory_ / "log");
    const absl::Time end = absl::Now() + length.time;
    while (outcome->transitions < length.most &&
           (outcome->transitions < length.least || absl::Now() < end)) {
      Request(client, modules, random, outcome);
      if (outcome->died || HasFatalFailure()) return;
      if (outcome->requests % 8 == 0) SampleThreads(client, outcome);
      if (outcome->died || HasFatalFailure()) return;
      outcome->transitions = completed.Count();
      if (outcome->transitions >= length.least / 4 && outcome->early_kilobytes == 0) {
        outcome->early_kilobytes = program_kilobytes_();
      }
    }
    const absl::StatusOr<Reply> waited = client.Get("/transition/wait?timeout_ms=30000");
    if (!waited.ok() && HasDiedAsItMay(outcome)) return;
    ASSERT_TRUE(waited.ok()) << waited.status();
    ASSERT_EQ(ExitCodeOf(*waited), 0) << waited->body;
    outcome->late_kilobytes = program_kilobytes_();
    outcome->late_bytes = KeptBytes(client);
  }

  void RunStress(bool hold, const std::string& options, const Length& length, Outcome* outcome) {
    std::vector<std::string> modules;
    for (int version = 1; version <= kVersions; ++version) {
      modules.push_back(BuildPatch(version, hold));
      ASSERT_FALSE(HasFatalFailure());
    }
    HostedProgram program(program_, directory_, options);
    ASSERT_EQ(program.ReadLine(), "ready\n");
    program_kilobytes_ = [&program] { return program.ResidentKilobytes(); };
    is_dead_ = [&program] { return program.IsDead(); };
    Attack(Client(program.socket()), modules, length, outcome);
    if (outcome->died) {
      std::printf("the program died after %lu transitions, having seen %lu mixes\n",
                  outcome->transitions, outcome->mixes);
      return;
    }
    ASSERT_FALSE(HasFatalFailure()) << ReadFile(directory_ / "stderr").substr(0, 4000) << "\n"
                                    << ReadFile(directory_ / "log").substr(0, 4000);
    int status = 0;
    const std::string report = program.Finish(&status);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
    ASSERT_EQ(std::sscanf(report.c_str(), "units %lu mixes %lu", &outcome->units, &outcome->mixes),
              2)
        << report;
    RecordProperty("units", std::to_string(outcome->units));
    RecordProperty("mixes", std::to_string(outcome->mixes));
    std::printf(
        "%lu transitions (%lu requests, %lu refused, %lu timed out), %lu units, %lu mixes, "
        "%lu %% of the threads blocked, resident %zu -> %zu kB\n",
        outcome->transitions, outcome->requests, outcome->refused, outcome->timed_out,
        outcome->units, outcome->mixes,
        outcome->threads_seen == 0 ? 0 : 100 * outcome->threads_blocked / outcome->threads_seen,
        outcome->early_kilobytes, outcome->late_kilobytes);
  }

  fs::path directory_, program_, source_;
  // Whether the program is gone, which its clients learn a little earlier than its parent.
  bool AwaitDeath() const {
    const absl::Time end = absl::Now() + absl::Seconds(5);
    while (!is_dead_()) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return true;
  }

  std::function<size_t()> program_kilobytes_;
  std::function<bool()> is_dead_;
  bool may_die_ = false;
};

TEST_F(HostedStressTest, NoUnitSeesTwoVersions) {
  const unsigned long wish = EnvironmentNumber("MEND_STRESS_TRANSITIONS", 0);
  const Length length = wish != 0 ? Length{.least = wish, .most = wish}
                                  : Length{.least = 60, .most = 1000, .time = absl::Seconds(40)};
  Outcome outcome;
  RunStress(/*hold=*/true, "", length, &outcome);
  EXPECT_EQ(outcome.mixes, 0u);
  EXPECT_GE(outcome.transitions, length.least);
  EXPECT_GT(outcome.units, 10000u);
  EXPECT_LE(outcome.timed_out, outcome.transitions / 10);
  EXPECT_GE(3 * outcome.threads_blocked, outcome.threads_seen) << "the threads do not block enough";
  // Memory is flat once every module has been linked and the event log is full, which it is after
  // about 1500 transitions; the allowance is for the threads' own heaps, and for the log.
  constexpr size_t kHeaps = 8 * 1024;
  constexpr size_t kEventLog = 24 * 1024;
  EXPECT_LT(outcome.late_kilobytes,
            outcome.early_kilobytes + kHeaps + (length.least < 8000 ? kEventLog : 0));
  // Each module once at most: what was replaced or taken off, and is applied again, makes room.
  EXPECT_LE(std::count(outcome.late_bytes.begin(), outcome.late_bytes.end(), '\n'), kVersions)
      << outcome.late_bytes;
}

TEST_F(HostedStressTest, ControlCallersThatAreNotHeldSeeMixes) {
  Outcome outcome;
  RunStress(/*hold=*/false, "", {}, &outcome);
  EXPECT_GT(outcome.mixes, 0u) << "the oracle does not notice what holding prevents";
}

#ifdef MEND_FAILPOINTS
TEST_F(HostedStressTest, ControlWithoutTheStackCheckThereAreMixes) {
  // A thread that stands in code which is taken away may also end the program.
  may_die_ = true;
  Outcome outcome;
  RunStress(/*hold=*/true, "--failpoint safepoint/stack_check_off", {}, &outcome);
  EXPECT_GT(outcome.mixes, 0u) << "the oracle does not notice what the stack check prevents";
}
#endif

}  // namespace
}  // namespace mend
