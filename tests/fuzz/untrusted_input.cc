// Untrusted input, damaged inside of its frames: patch modules and guest modules go to a running
// program, objects to patchc. Nothing may crash, hang or take memory without bound, each refusal is
// an answer, and the program goes on as it was.
//
//   untrusted_input BIN [--seconds N] [--seed S] [--options MEND_OPTIONS] [--keep DIR]
//
// Input number i of seed S is always the same; the one that something is wrong with is kept, and
// named with its seed: `--seed S --count 1` makes it again.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "mend/client.h"
#include "runtime/format/program_image.h"
#include "tests/fuzz/mutator.h"
#include "tests/support/hosted_process.h"

namespace mend::fuzz {
namespace {

namespace fs = std::filesystem;
using testing::ContentsOf;

// Of the program, with patches in it, and with a sanitizer.
constexpr size_t kResidentKilobytesMax = 3 << 20;
constexpr unsigned kCommandSecondsMax = 60;

constexpr char kProgram[] = R"(
#include <stdio.h>
#include <string.h>
struct record { int kind; long values[4]; };
static int calls;
static __thread int turns = 3;
static const char *const names[] = {"none", "some", "many"};
__attribute__((noinline)) static int twice(int n) { calls++; return 2 * n; }
__attribute__((noinline)) const char *name(int n) {
  switch (n) { case 0: return names[0]; case 1: case 2: return names[1];
    case 3: return "three"; case 4: return "four"; case 5: return "five"; }
  return names[2];
}
__attribute__((noinline)) long sum(const struct record *r) {
  long total = turns; for (int i = 0; i < 4; i++) total += r->values[i]; return total + twice(r->kind);
}
int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    struct record r = {1, {1, 2, 3, 4}};
    printf("%ld %s %s\n", sum(&r), name(3), name(9)); fflush(stdout);
  }
  return 0;
}
)";
constexpr char kAnswer[] = "15 three many\n";

constexpr char kPlugin[] = R"(
static int level = 4; __thread int depth = 1;
__attribute__((noinline)) static int inner(int n) { depth++; return n + level; }
int plugin_entry(int n) { return inner(n) * 2; }
const char *plugin_name(void) { return "plugin"; }
)";

constexpr char kExplicit[] = R"(
#include <mend/livepatch.h>
#include <stdio.h>
static int limit = 5; MEND_PARAM_INT(limit);
static const char *fixed_name(int n) { static int seen; seen += n; return seen > limit ? "x" : "y"; }
static int fixed_inner(int n) { return n + 100; }
static const struct mend_func funcs[] = {MEND_FUNC("name", fixed_name), MEND_FUNCS_END};
static const struct mend_func plugin_funcs[] = {MEND_FUNC_AT("inner", fixed_inner, 1), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(NULL, funcs, NULL, NULL, NULL, NULL),
    MEND_OBJECT("plugin", plugin_funcs, NULL, NULL, NULL, NULL), MEND_OBJECTS_END};
static struct mend_state states[] = {{7, 1, NULL}, MEND_STATES_END};
static struct mend_patch patch = {.objects = objects, .states = states, .replace = true};
MEND_LIVEPATCH(patch);
)";

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) std::abort();
  return text.replace(at, from.size(), to);
}

void WriteFile(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Options {
  fs::path bin;
  double seconds = 5;
  uint64_t count = UINT64_MAX;
  uint64_t seed = 1;
  std::string program_options;
  fs::path keep = "/tmp";
};

// A command in the folder, its output in `out`; how it ended (as wait says), or -1 after a minute.
int Run(const std::vector<std::string>& command, const fs::path& directory, const fs::path& out) {
  const pid_t pid = fork();
  if (pid == 0) {
    const int fd = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (chdir(directory.c_str()) != 0) _exit(127);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    alarm(kCommandSecondsMax);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

// What was found: what no output of mend may contain.
std::string Alarm(const std::string& output) {
  for (const char* const word : {"AddressSanitizer", "runtime error:", "LLVM ERROR", "CHECK failed",
                                 "terminate called", "PLEASE submit", "Stack dump"}) {
    if (absl::StrContains(output, word)) return absl::StrCat("says '", word, "'");
  }
  return "";
}

class Target {
 public:
  Target(const fs::path& program, const fs::path& directory, const std::string& options)
      : process_({program}, directory, absl::StrCat("--log /dev/null ", options)),
        client_(process_.socket()) {}

  const Client& client() const { return client_; }

  // What is wrong with it; empty when it is as it was.
  std::string Complaint() const {
    const std::string line = process_.Write("\n") ? process_.ReadLine() : "";
    if (line.empty()) return absl::StrCat("the program is gone: ", process_.StandardError());
    if (line != kAnswer) return absl::StrCat("the program answers ", line);
    const size_t resident = ResidentKilobytesMax();
    if (resident > kResidentKilobytesMax) return absl::StrCat("it took ", resident, " kB");
    return Alarm(process_.StandardError());
  }

 private:
  size_t ResidentKilobytesMax() const {
    const std::string status = ContentsOf(absl::StrCat("/proc/", process_.pid(), "/status"));
    const size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::strtoul(status.c_str() + at + 6, nullptr, 10);
  }

  testing::HostedProcess process_;
  const Client client_;
};

class Fuzz {
 public:
  explicit Fuzz(const Options& options) : options_(options) {
    char path[] = "/tmp/mend-fuzz-XXXXXX";
    directory_ = mkdtemp(path);
  }
  ~Fuzz() { fs::remove_all(directory_); }
  Fuzz(const Fuzz&) = delete;
  Fuzz& operator=(const Fuzz&) = delete;

  bool MakeInputs();
  // 0, or 1 after a find.
  int Run();

 private:
  bool Patchc(std::vector<std::string> arguments);
  std::string Try(uint64_t seed, const Target& target);
  std::string TryPatch(const Target& target, bool only_dry);
  std::string TryGuest(const Target& target);
  std::string TryCommand(uint64_t seed);
  std::string Answered(const absl::StatusOr<Reply>& reply);

  const Options options_;
  fs::path directory_;
  std::string source_patch_, guest_patch_, explicit_patch_, plugin_, object_, program_;
  std::string input_;
  uint64_t accepted_ = 0, refused_ = 0;
};

bool Fuzz::Patchc(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), (options_.bin / "patchc").string());
  const int status = fuzz::Run(arguments, directory_, directory_ / "out");
  if (status == 0) return true;
  fprintf(stderr, "%s: %s\n", absl::StrJoin(arguments, " ").c_str(),
          ContentsOf(directory_ / "out").c_str());
  return false;
}

bool Fuzz::MakeInputs() {
  WriteFile(directory_ / "program.c", kProgram);
  WriteFile(directory_ / "plugin.c", kPlugin);
  WriteFile(directory_ / "explicit.c", kExplicit);
  if (!Patchc({"cc", "-O2", "-g", "-c", "program.c", "-o", "program.o"}) ||
      !Patchc({"cc", "program.o", "-o", "program"}) ||
      !Patchc({"cc", "-O2", "-g", "-shared", "-fPIC", "plugin.c", "-o", "plugin.so"}) ||
      !Patchc({"build", "--explicit", "explicit.c", "-o", "explicit.mendpatch"})) {
    return false;
  }
  std::string fixed =
      Replaced(kProgram, "return 2 * n;", "return n + turns + (int)strlen(names[1]);");
  fixed =
      Replaced(fixed, "static const char *const names[]",
               "static int added[3] = {1, 2, 3}; static __thread int more = 2;\n"
               "__attribute__((noinline)) static int extra(int n) { more += n; return added[n % 3] "
               "+ more; }\nstatic const char *const names[]");
  fixed = Replaced(fixed, "long total = turns;", "long total = turns + extra(2);");
  WriteFile(directory_ / "program.c", fixed);
  WriteFile(directory_ / "plugin.c", Replaced(kPlugin, "n + level", "n - level"));
  if (!Patchc({"build", "--base", "program", "program.c", "-o", "fix.mendpatch"}) ||
      !Patchc({"build", "--base", "program", "--base-module", "plugin.so", "program.c", "plugin.c",
               "-o", "guest.mendpatch"})) {
    return false;
  }
  source_patch_ = ContentsOf(directory_ / "fix.mendpatch");
  guest_patch_ = ContentsOf(directory_ / "guest.mendpatch");
  explicit_patch_ = ContentsOf(directory_ / "explicit.mendpatch");
  plugin_ = ContentsOf(directory_ / "plugin.so");
  object_ = ContentsOf(directory_ / "program.o");
  program_ = ContentsOf(directory_ / "program");
  return true;
}

std::string Fuzz::Answered(const absl::StatusOr<Reply>& reply) {
  if (!reply.ok()) return absl::StrCat("no answer: ", std::string(reply.status().message()));
  if (reply->ok()) {
    ++accepted_;
    return "";
  }
  ++refused_;
  if (ErrorText(*reply).empty()) return absl::StrCat("a refusal without a text: ", reply->body);
  return "";
}

std::string Fuzz::TryPatch(const Target& target, bool only_dry) {
  const Client& client = target.client();
  const absl::StatusOr<Reply> dry = client.Post("/patches?dry_run=1", input_);
  if (std::string problem = Answered(dry); !problem.empty()) return problem;
  if (only_dry || !dry->ok()) return "";
  const absl::StatusOr<Reply> applied = client.Post("/patches", input_);
  if (std::string problem = Answered(applied); !problem.empty()) return problem;
  const absl::StatusOr<Reply> names = client.Get("/livepatch/");
  if (!names.ok()) return Answered(names);
  // Off again, before anything calls what may be any code.
  std::istringstream lines(names->body);
  for (std::string name; std::getline(lines, name);) {
    const std::string path = absl::StrCat("/patches/", EncodeSegment(name));
    for (const char* const verb : {"/disable", "/remove"}) {
      const absl::StatusOr<Reply> done = client.Post(absl::StrCat(path, verb), "");
      if (!done.ok() || !done->ok()) {
        return absl::StrCat(path, verb, ": ", done.ok() ? done->body : "no answer");
      }
    }
  }
  return "";
}

std::string Fuzz::TryGuest(const Target& target) {
  const Client& client = target.client();
  const absl::StatusOr<Reply> loaded = client.Post("/modules?name=plugin", input_);
  if (std::string problem = Answered(loaded); !problem.empty()) return problem;
  if (!loaded->ok()) return "";
  const absl::StatusOr<Reply> unloaded = client.Post("/modules/plugin/unload", "");
  if (!unloaded.ok() || !unloaded->ok()) {
    return absl::StrCat("unload: ", unloaded.ok() ? unloaded->body : "no answer");
  }
  return "";
}

std::string Fuzz::TryCommand(uint64_t seed) {
  const fs::path file = directory_ / "damaged.o";
  WriteFile(file, input_);
  const std::string patchc = (options_.bin / "patchc").string();
  static const std::vector<std::vector<std::string>> kCommands = {
      {"inspect", "damaged.o"},
      {"strip", "damaged.o"},
      {"cc", "damaged.o", "-o", "linked"},
      {"inspect", "--json", "damaged.o"},
      {"check", "--base", "damaged.o", "program.c"},
      {"build", "--explicit", "damaged.o", "-o", "x.mendpatch"}};
  std::vector<std::string> command = kCommands[seed / 8 % kCommands.size()];
  command.insert(command.begin(), patchc);
  const int status = fuzz::Run(command, directory_, directory_ / "out");
  const std::string output = ContentsOf(directory_ / "out");
  const std::string text = absl::StrCat(absl::StrJoin(command, " "), ": ");
  // The linker is a program of its own, which may die of such an object; it is said so.
  if (absl::StrContains(output, "linker command failed")) return "";
  if (WIFSIGNALED(status)) return absl::StrCat(text, "signal ", WTERMSIG(status), "\n", output);
  if (std::string alarm = Alarm(output); !alarm.empty()) return absl::StrCat(text, alarm, output);
  if (WEXITSTATUS(status) == 0) ++accepted_;
  if (WEXITSTATUS(status) != 0) ++refused_;
  if (WEXITSTATUS(status) != 0 && output.empty())
    return absl::StrCat(text, "refused without a word");
  return "";
}

std::string Fuzz::Try(uint64_t seed, const Target& target) {
  Mutator mutator(seed);
  switch (seed % 8) {
    case 0:
    case 1:
    case 2:
      input_ = mutator.PatchModuleFile(seed % 8 == 2 ? guest_patch_ : source_patch_);
      return TryPatch(target, false);
    case 3:
      // Callbacks are the patch's own, wherever they lead.
      input_ = mutator.PatchModuleFile(explicit_patch_);
      return TryPatch(target, true);
    case 4:
    case 5:
      input_ = mutator.ImageFile(plugin_, kModuleSection);
      return TryGuest(target);
    case 6:
      input_ = mutator.Object(object_);
      return TryCommand(seed);
    default:
      input_ = (seed / 8) % 2 == 0 ? mutator.PatchModuleFile(source_patch_)
                                   : mutator.ImageFile(program_, kProgramSection);
      return TryCommand(seed);
  }
}

int Fuzz::Run() {
  const absl::Time end = absl::Now() + absl::Seconds(options_.seconds);
  std::unique_ptr<Target> target;
  int code = 0;
  uint64_t done = 0;
  for (; done < options_.count && absl::Now() < end; ++done) {
    if (target == nullptr) {
      target =
          std::make_unique<Target>(directory_ / "program", directory_, options_.program_options);
      // When it has answered once, its socket is there.
      if (const std::string complaint = target->Complaint(); !complaint.empty()) {
        printf("%s\n", complaint.c_str());
        return 1;
      }
    }
    const uint64_t seed = options_.seed + done;
    std::string problem = Try(seed, *target);
    if (const std::string complaint = target->Complaint(); !complaint.empty()) {
      absl::StrAppend(&problem, problem.empty() ? "" : "; ", complaint);
    }
    if (problem.empty()) continue;
    const fs::path kept = options_.keep / absl::StrCat("mend-fuzz-", seed);
    WriteFile(kept, input_);
    printf("seed %lu: %s\nkept as %s\n", seed, problem.c_str(), kept.c_str());
    fflush(stdout);
    code = 1;
    target.reset();
  }
  printf("%lu inputs from seed %lu: %lu requests accepted, %lu refused\n", done, options_.seed,
         accepted_, refused_);
  return code;
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc < 2) {
    fprintf(stderr,
            "usage: %s BIN [--seconds N] [--count N] [--seed S] [--options O] [--keep DIR]\n",
            argv[0]);
    return 2;
  }
  Options options;
  options.bin = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--seconds") options.seconds = std::strtod(value.c_str(), nullptr);
    if (name == "--count") options.count = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--seed") options.seed = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--options") options.program_options = value;
    if (name == "--keep") options.keep = value;
  }
  Fuzz fuzz(options);
  return fuzz.MakeInputs() ? fuzz.Run() : 1;
}

}  // namespace
}  // namespace mend::fuzz

int main(int argc, char** argv) { return mend::fuzz::Main(argc, argv); }
