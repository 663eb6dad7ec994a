// The promise under attack: a hosted program (agree.cc) whose threads loop, recurse, block, sort,
// throw, spawn, fork, are cancelled, handle signals, and open and close a guest module, patched at
// random through its control socket: source patches of the program, and explicit patches of both
// with callbacks, applied, stacked, replaced, disabled, reversed, forced, reverted and removed.
// Afterwards it says how many units it ran and how many of them saw two versions. Text that is
// freed is int3 or inaccessible, and is used again as late as possible.
//
// The oracle is shown to work: the same run without holding the callers, and the same run with the
// stack check switched off, must report mixes.
//
// A run takes 40 s, or MEND_STRESS_SECONDS; MEND_STRESS_SEED sets the random sequence.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mend/client.h"
#include "tests/support/hosted_process.h"

namespace mend {
namespace {

namespace fs = std::filesystem;
using mend::testing::ContentsOf;

constexpr const char* kHeld[] = {"HeldLoop()",
                                 "HeldRecursion(int, Unit const*)",
                                 "HeldCallback()",
                                 "CompareAndCheck(void const*, void const*)",
                                 "HeldSort()",
                                 "HeldStandardSort()",
                                 "HeldSearch()",
                                 "HeldOnceRoutine()",
                                 "HeldOnce()",
                                 "HeldThrow()",
                                 "HeldThrowThroughSort()",
                                 "HeldCondition()",
                                 "HeldLock()",
                                 "HeldWait(void (*)())",
                                 "HeldYield(Fiber*, bool)",
                                 "HeldFiber()",
                                 "HeldSpawn()",
                                 "HeldFuture()",
                                 "HeldCancelled(void*)",
                                 "HeldCancel()",
                                 "HeldFork()",
                                 "HeldChild(Unit const&, unsigned int)",
                                 "HeldAtExit()",
                                 "HeldHandler(int)"};
// Two threads for each kind of unit: 64 at a time, with those that units make.
constexpr const char* kScale = "2";

// A patch of kVersion (source), or of the program and its guest module (explicit).
struct PatchSpec {
  int version;
  bool is_explicit;
  bool stacks;  // does not replace what is there
};
constexpr PatchSpec kPatches[] = {{1, false, false}, {2, false, false}, {3, false, true},
                                  {10, true, false}, {11, true, false}, {12, true, true}};

struct PatchModule {
  std::string name;
  std::string bytes;
};

unsigned long EnvironmentNumber(const char* name, unsigned long otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoul(value, nullptr, 10);
}

// A hosted agree.cc, which says again what it is told, and reports when its input ends.
class HostedProgram {
 public:
  HostedProgram(const std::vector<std::string>& command, const fs::path& directory,
                const std::string& options)
      : process_(command, directory,
                 absl::StrCat("--log ", (directory / "log").string(), " ", options)) {}

  // Says `word` and hears it back.
  bool Tell(const std::string& word) const {
    const std::string line = word + "\n";
    return process_.Write(line) && process_.ReadLine() == line;
  }
  std::string ReadLine() const { return process_.ReadLine(); }

  // Ends standard input; returns the report line. `*status` gets the wait status.
  std::string Finish(int* status) {
    process_.EndInput();
    const std::string report = ReadLine();
    *status = process_.Await();
    return report;
  }

  size_t ResidentKilobytes() const {
    std::ifstream statm(absl::StrCat("/proc/", process_.pid(), "/statm"));
    size_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * 4;
  }

  // Where each thread is: its name and state, and what it waits for in the kernel, as far as that
  // tells (a program that does not answer may be stuck in itself, or in a clone or munmap that
  // takes a minute).
  std::string WhereThreadsAre() const {
    std::string text;
    std::error_code ignored;
    for (const auto& task :
         fs::directory_iterator(absl::StrCat("/proc/", process_.pid(), "/task"), ignored)) {
      const std::string status = ContentsOf(task.path() / "status");
      const size_t state = status.find("State:");
      absl::StrAppend(&text, task.path().filename().string(), " ",
                      ContentsOf(task.path() / "comm"));
      if (state != std::string::npos) {
        absl::StrAppend(&text, "  ", status.substr(state, status.find('\n', state) - state), "\n");
      }
      absl::StrAppend(&text, "  syscall ", ContentsOf(task.path() / "syscall"), "  ",
                      ContentsOf(task.path() / "wchan"), "\n", ContentsOf(task.path() / "stack"));
    }
    return text;
  }

  std::string socket() const { return process_.socket(); }

 private:
  testing::HostedProcess process_;
};

// How long a run goes on: for `time`, and `least` transitions.
struct Length {
  unsigned long least = 20;
  absl::Duration time = absl::ZeroDuration();
};

struct Outcome {
  unsigned long units = 0;
  unsigned long mixes = 0;
  unsigned long failures = 0;  // of what the program tries, among them forked children
  unsigned long requests = 0;
  unsigned long transitions = 0;  // completed, in whatever direction
  unsigned long refused = 0;
  unsigned long forced = 0;
  unsigned long timed_out = 0;  // and reversed: a starved machine, or a thread that never switches
  unsigned long threads_seen = 0;
  unsigned long threads_blocked = 0;
  size_t threads_most = 0;
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

std::string Run(const std::string& command, const fs::path& log) {
  const int status = std::system(absl::StrCat(command, " > ", log.string(), " 2>&1").c_str());
  return status == 0 ? "" : absl::StrCat(command, "\n", ContentsOf(log));
}

// The program, its guest module and all patches, held and not; compiled once.
class Built {
 public:
  Built() {
    char name[] = "/tmp/mend-stress-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    directory_ = name;
    for (const char* file : {"agree.cc", "agree.h", "agree_waits.cc", "agree_waits.h",
                             "agree_plugin.cc", "agree_patch.cc"}) {
      fs::copy_file(fs::path(MEND_AGREE_SOURCES) / file, directory_ / file);
    }
    Compile(absl::StrCat(" c++ -std=c++20 -O2 -pthread ", In("agree.cc"), " ", In("agree_waits.cc"),
                         " -o ", program()));
    Compile(absl::StrCat(" c++ -std=c++20 -O2 -shared ", In("agree_plugin.cc"), " -o ", plugin()));
  }
  ~Built() { fs::remove_all(directory_); }

  std::string In(const char* name) const { return directory_ / name; }
  std::string program() const { return In("agree"); }
  std::string plugin() const { return In("agree_plugin.so"); }
  const std::string& error() const { return error_; }

  PatchModule BuildPatch(const PatchSpec& spec, bool hold) {
    const PatchModule module = {absl::StrCat(spec.is_explicit ? "e" : "v", spec.version), ""};
    const fs::path file = directory_ / absl::StrCat(module.name, hold ? "" : "-not-held");
    std::string command = absl::StrCat(" build -o ", file.string(), " --name ", module.name,
                                       spec.stacks ? " --no-replace" : "");
    for (const char* held : kHeld) {
      if (hold) absl::StrAppend(&command, " --hold '", held, "'");
    }
    absl::StrAppend(&command, spec.is_explicit ? ExplicitInput(spec) : SourceInput(spec));
    Compile(command);
    return {module.name, ContentsOf(file)};
  }

 private:
  void Compile(const std::string& arguments) {
    if (error_.empty()) error_ = Run(MEND_PATCHC + arguments, directory_ / "command.log");
  }
  std::string ExplicitInput(const PatchSpec& spec) const {
    return absl::StrCat(" --explicit ", In("agree_patch.cc"), " -- -std=c++20 -O2",
                        " -DAGREE_VERSION=", spec.version);
  }
  // The program's source with another kVersion.
  std::string SourceInput(const PatchSpec& spec) const {
    std::string changed = ContentsOf(directory_ / "agree.cc");
    const std::string line = "constexpr int kVersion = ";
    changed.replace(changed.find(line) + line.size(), 1, std::to_string(spec.version));
    const fs::path edited = directory_ / absl::StrCat("edited", spec.version);
    fs::create_directories(edited);
    for (const char* header : {"agree.h", "agree_waits.h"}) {
      fs::copy_file(directory_ / header, edited / header, fs::copy_options::skip_existing);
    }
    std::ofstream(edited / "agree.cc") << changed;
    return absl::StrCat(" --base ", program(), " ", (edited / "agree.cc").string());
  }

  fs::path directory_;
  std::string error_;
};

class HostedStressTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { built_ = new Built; }
  static void TearDownTestSuite() {
    delete built_;
    built_ = nullptr;
  }
  void SetUp() override {
    ASSERT_EQ(built_->error(), "");
    char name[] = "/tmp/mend-stress-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
#if __has_feature(address_sanitizer)
    // It puts its own swapcontext in front of mend's.
    setenv("AGREE_WITHOUT_FIBERS", "1", 1);
    // A fork of its shadow memory takes seconds, in which others wait for libc's locks.
    setenv("AGREE_WITHOUT_FORKS", "1", 1);
#endif
  }
  void TearDown() override { fs::remove_all(directory_); }

  // Longer than a transition may take before it is reversed, than this test asks to wait for one,
  // and than a virtual machine's kernel was seen to take over a thread's stack ("workqueue lockup"
  // in its log).
  static RequestOptions Patience() { return {.timeout = absl::Seconds(150)}; }

  // Posts, and counts the answer, which must be one that the contract names.
  void Post(const Client& client, const std::string& path, const std::string& body,
            Outcome* outcome) {
    const absl::StatusOr<Reply> reply = client.Post(path, body, Patience());
    ++outcome->requests;
    ASSERT_TRUE(reply.ok()) << path << ": " << reply.status();
    const int exit_code = ExitCodeOf(*reply);
    ASSERT_TRUE(exit_code == 0 || (exit_code >= 3 && exit_code <= 5)) << path << reply->body;
    if (exit_code == 4) ++outcome->timed_out;
    if (exit_code == 3) ++outcome->refused;
  }

  // One random request.
  void Request(const Client& client, const std::vector<PatchModule>& modules,
               std::mt19937_64& random, Outcome* outcome) {
    const size_t choice = random() % 22;
    const PatchModule& module = modules[random() % modules.size()];
    const std::string patch = absl::StrCat("/patches/", module.name);
    const std::string apply = "/patches?timeout_ns=30000000000";
    if (choice < 8) return Post(client, apply, module.bytes, outcome);
    // Without waiting, so that the next request meets a running transition.
    if (choice < 12) return Post(client, apply + "&no_wait=1", module.bytes, outcome);
    if (choice < 15) return Post(client, patch + "/disable", "", outcome);
    if (choice < 17) return Post(client, patch + "/reverse", "", outcome);
    if (choice < 18) return Post(client, patch + "/remove", "", outcome);
    if (choice >= 20) return TryCanary(client, module, random, outcome);
    if (choice < 19 || !may_force_) return Post(client, "/revert", "", outcome);
    ForcePatch(client, module, outcome);
  }

  // Some threads try a patch, and then all do or none. Whether it is a canary, or was refused
  // because another transition runs, the last request suits both.
  void TryCanary(const Client& client, const PatchModule& module, std::mt19937_64& random,
                 Outcome* outcome) {
    const std::string share = random() % 2 == 0 ? "30%25" : "3";
    Post(client, "/patches?timeout_ns=30000000000&canary=" + share, module.bytes, outcome);
    if (HasFatalFailure()) return;
    const bool promoted = random() % 2 == 0;
    Post(client, absl::StrCat("/patches/", module.name, promoted ? "/promote" : "/disable"), "",
         outcome);
  }

  // Threads that are forced may mix, so the program is told of it before and after.
  void ForcePatch(const Client& client, const PatchModule& module, Outcome* outcome) {
    ASSERT_TRUE(program_->Tell("force"));
    Post(client, "/patches?no_wait=1", module.bytes, outcome);
    if (HasFatalFailure()) return;
    const unsigned long refused = outcome->refused;
    Post(client, absl::StrCat("/patches/", module.name, "/force"), "", outcome);
    if (HasFatalFailure()) return;
    if (outcome->refused == refused) ++outcome->forced;
    AwaitNoTransition(client);
    ASSERT_TRUE(program_->Tell("forced"));
  }

  void AwaitNoTransition(const Client& client) {
    const absl::StatusOr<Reply> waited =
        client.Get("/transition/wait?timeout_ms=120000", Patience());
    ASSERT_TRUE(waited.ok()) << waited.status();
    ASSERT_EQ(ExitCodeOf(*waited), 0) << waited->body;
  }

  // Looks where the program's threads are.
  void SampleThreads(const Client& client, Outcome* outcome) {
    const absl::StatusOr<Reply> reply = client.Get("/threads");
    ASSERT_TRUE(reply.ok()) << reply.status();
    const auto document = nlohmann::json::parse(reply->body, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(document.is_object()) << reply->body;
    outcome->threads_most = std::max(outcome->threads_most, document["threads"].size());
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

  void Attack(const Client& client, const std::vector<PatchModule>& modules, const Length& length,
              Outcome* outcome) {
    std::mt19937_64 random(EnvironmentNumber("MEND_STRESS_SEED", 1));
    TransitionCounter completed(directory_ / "log");
    const absl::Time begin = absl::Now();
    while (outcome->transitions < length.least || absl::Now() < begin + length.time) {
      Request(client, modules, random, outcome);
      if (HasFatalFailure()) return;
      if (outcome->requests % 8 == 0) SampleThreads(client, outcome);
      if (HasFatalFailure()) return;
      outcome->transitions = completed.Count();
      if (outcome->early_kilobytes == 0 && absl::Now() >= begin + length.time / 4) {
        outcome->early_kilobytes = program_->ResidentKilobytes();
      }
    }
    AwaitNoTransition(client);
    outcome->late_kilobytes = program_->ResidentKilobytes();
    outcome->late_bytes = KeptBytes(client);
  }

  // Starts the program, attacks it and reads its report.
  void RunStress(bool hold, const std::string& options, const Length& length, Outcome* outcome) {
    std::vector<PatchModule> modules;
    for (const PatchSpec& spec : kPatches) {
      // The control without holding needs no more than two.
      if (hold || spec.version <= 2) modules.push_back(built_->BuildPatch(spec, hold));
    }
    ASSERT_EQ(built_->error(), "");
    HostedProgram program({built_->program(), kScale, built_->plugin()}, directory_,
                          absl::StrCat(kLateReuse, options));
    ASSERT_EQ(program.ReadLine(), "ready\n");
    program_ = &program;
    Attack(Client(program.socket()), modules, length, outcome);
    ASSERT_FALSE(HasFatalFailure()) << ContentsOf(directory_ / "stderr").substr(0, 4000) << "\n"
                                    << LastOf(ContentsOf(directory_ / "log")) << "\n"
                                    << program.WhereThreadsAre();
    int status = 0;
    const std::string report = program.Finish(&status);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "wait status " << status << "\n"
        << ContentsOf(directory_ / "stderr").substr(0, 4000);
    ASSERT_EQ(std::sscanf(report.c_str(), "units %lu mixes %lu failures %lu", &outcome->units,
                          &outcome->mixes, &outcome->failures),
              3)
        << report;
    Print(*outcome);
  }

  void Print(const Outcome& outcome) {
    RecordProperty("units", std::to_string(outcome.units));
    RecordProperty("mixes", std::to_string(outcome.mixes));
    std::printf(
        "%lu transitions (%lu requests, %lu refused, %lu forced, %lu timed out), %lu units, "
        "%lu mixes, %lu failures, up to %zu threads, %lu %% of them blocked, "
        "resident %zu -> %zu kB\n%s",
        outcome.transitions, outcome.requests, outcome.refused, outcome.forced, outcome.timed_out,
        outcome.units, outcome.mixes, outcome.failures, outcome.threads_most,
        outcome.threads_seen == 0 ? 0 : 100 * outcome.threads_blocked / outcome.threads_seen,
        outcome.early_kilobytes, outcome.late_kilobytes,
        outcome.mixes + outcome.failures == 0
            ? ""
            : ContentsOf(directory_ / "stderr").substr(0, 4000).c_str());
  }

  static std::string LastOf(const std::string& text) {
    return text.substr(text.size() - std::min<size_t>(text.size(), 4000));
  }

#ifdef MEND_FAILPOINTS
  static constexpr const char* kLateReuse = "--failpoint jit/reuse_text_late ";
#else
  static constexpr const char* kLateReuse = "";
#endif
  static Built* built_;
  fs::path directory_;
  HostedProgram* program_ = nullptr;
  bool may_force_ = false;
};

Built* HostedStressTest::built_ = nullptr;

TEST_F(HostedStressTest, NoUnitSeesTwoVersions) {
  const unsigned long seconds = EnvironmentNumber("MEND_STRESS_SECONDS", 40);
  const Length length = {.least = 60, .time = absl::Seconds(seconds)};
  may_force_ = true;
  Outcome outcome;
  RunStress(/*hold=*/true, "", length, &outcome);
  EXPECT_EQ(outcome.mixes, 0u);
  EXPECT_EQ(outcome.failures, 0u);
  EXPECT_GE(outcome.transitions, length.least);
  EXPECT_GT(outcome.forced, 0u);
  EXPECT_GT(outcome.units, 10000u);
  EXPECT_LE(outcome.timed_out, outcome.transitions / 10);
  EXPECT_GE(3 * outcome.threads_blocked, outcome.threads_seen) << "the threads do not block enough";
  // Memory is flat once every module has been linked and the event log is full, which it is after
  // about 1500 transitions; the allowance is for the threads' own heaps, and for the log.
#if __has_feature(address_sanitizer)
  constexpr size_t kHeaps = (8 + 256) * 1024;  // it keeps that much of what is freed
#else
  constexpr size_t kHeaps = 8 * 1024;
#endif
  constexpr size_t kEventLog = 24 * 1024;
  EXPECT_LT(outcome.late_kilobytes,
            outcome.early_kilobytes + kHeaps + (outcome.transitions < 8000 ? kEventLog : 0));
  // Each module once: what was replaced or taken off, and is applied again, makes room. One that a
  // thread was still in (by force) is there twice until it is applied after that.
  const size_t still_in_use = std::min<size_t>(outcome.forced, std::size(kPatches));
  EXPECT_LE(std::count(outcome.late_bytes.begin(), outcome.late_bytes.end(), '\n'),
            std::size(kPatches) + still_in_use)
      << outcome.late_bytes;
}

TEST_F(HostedStressTest, ControlCallersThatAreNotHeldSeeMixes) {
  Outcome outcome;
  RunStress(/*hold=*/false, "", {}, &outcome);
  EXPECT_GT(outcome.mixes, 0u) << "the oracle does not notice what holding prevents";
}

#ifdef MEND_FAILPOINTS
TEST_F(HostedStressTest, ControlWithoutTheStackCheckThereAreMixes) {
  Outcome outcome;
  RunStress(/*hold=*/true, "--failpoint safepoint/stack_check_off", {}, &outcome);
  EXPECT_GT(outcome.mixes, 0u) << "the oracle does not notice what the stack check prevents";
}
#endif

}  // namespace
}  // namespace mend
