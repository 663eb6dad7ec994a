// mend run: becomes the hosted program. An executable made by patchc is executed as it is; sources,
// objects, archives and IR are first made into one. Either way this process is replaced, so that
// exit code, signals and standard streams are the program's own.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "mend/commands/commands.h"
#include "mend/host_options.h"
#include "runtime/format/program_image.h"

extern char** environ;

namespace mend {
namespace {

constexpr int kExitRefusedToRun = 126;
constexpr int kExitNotFound = 127;

struct RunWords {
  std::vector<std::string> options;    // mend's own
  std::vector<std::string> operands;   // the executable, or what to build one from
  std::vector<std::string> arguments;  // the program's
};

int Fail(int exit_code, const std::string& message) {
  std::fprintf(stderr, "mend: %s\n", message.c_str());
  return exit_code;
}

bool IsSwitch(const std::string& word) {
  return word == "--no-socket" || word == "--debugger" || word == "--perf";
}

bool HasAnySuffix(const std::string& word, std::initializer_list<const char*> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](const char* suffix) { return absl::EndsWith(word, suffix); });
}

bool IsCSource(const std::string& word) { return HasAnySuffix(word, {".c"}); }

// Is it something that an executable is built from?
bool IsBuildOperand(const std::string& word) {
  return absl::StartsWith(word, "-l") || absl::StartsWith(word, "-L") ||
         HasAnySuffix(word, {".c", ".cc", ".cpp", ".cxx", ".o", ".a", ".ll", ".bc"});
}

// Takes mend's options off the front; the operands begin with the first word that is none.
std::vector<std::string> TakeOptions(const std::vector<std::string>& words, size_t* at) {
  std::vector<std::string> options;
  while (*at < words.size() && absl::StartsWith(words[*at], "--")) {
    const std::string& word = words[(*at)++];
    if (word == "--") break;
    options.push_back(word);
    const bool takes_value = !IsSwitch(word) && word.find('=') == std::string::npos;
    if (takes_value && *at < words.size()) options.push_back(words[(*at)++]);
  }
  return options;
}

RunWords SplitWords(const std::vector<std::string>& words) {
  RunWords run;
  size_t at = 0;
  run.options = TakeOptions(words, &at);
  if (at < words.size() && !IsBuildOperand(words[at])) {
    run.operands = {words[at]};
    run.arguments.assign(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
    return run;
  }
  for (; at < words.size() && words[at] != "--"; ++at) run.operands.push_back(words[at]);
  if (at < words.size()) ++at;
  run.arguments.assign(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  return run;
}

// The file that a program's name means: with a '/', itself; otherwise looked up in PATH, after the
// working directory, as a name without a '/' most often means a file just built.
std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), F_OK) == 0 ? name : "";
  if (::access(name.c_str(), F_OK) == 0) return "./" + name;
  const char* const path = std::getenv("PATH");
  for (const std::string& directory : std::vector<std::string>(
           absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty()))) {
    const std::string file = absl::StrCat(directory, "/", name);
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

// OK when the file is an executable made by patchc.
absl::Status CheckExecutable(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (fd < 0 || ::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
    const std::string why = fd < 0 ? std::strerror(errno) : "not a regular file";
    if (fd >= 0) ::close(fd);
    return absl::InvalidArgumentError(absl::StrCat("cannot run '", file, "': ", why));
  }
  const size_t size = static_cast<size_t>(status.st_size);
  void* const bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (bytes == MAP_FAILED) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot run '", file, "': ", std::strerror(errno)));
  }
  const bool hosted = FindProgramImage({static_cast<const char*>(bytes), size}).ok();
  ::munmap(bytes, size);
  if (hosted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", file,
                   "' was not made by patchc, so mend cannot host it: build it with "
                   "CC=\"patchc cc\" CXX=\"patchc c++\""));
}

// patchc, which is installed beside this program.
std::string FindPatchc() {
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size <= 0) return "patchc";
  const std::string self(path, static_cast<size_t>(size));
  return self.substr(0, self.rfind('/') + 1) + "patchc";
}

std::vector<char*> Pointers(std::vector<std::string>* words) {
  std::vector<char*> pointers;
  for (std::string& word : *words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Runs a command with its messages on standard error, and returns its exit code.
int RunCommand(std::vector<std::string> words) {
  const pid_t child = ::fork();
  if (child < 0) {
    return Fail(kExitRefusedToRun,
                absl::StrCat("cannot run '", words[0], "': ", std::strerror(errno)));
  }
  if (child == 0) {
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    ::execv(words[0].c_str(), Pointers(&words).data());
    ::_exit(Fail(errno == ENOENT ? kExitNotFound : kExitRefusedToRun,
                 absl::StrCat("cannot run '", words[0], "': ", std::strerror(errno))));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitRefusedToRun;
}

// A directory for one executable that is removed again.
class ScratchDirectory {
 public:
  static absl::StatusOr<ScratchDirectory> Make() {
    const char* const base = std::getenv("TMPDIR");
    std::string path = absl::StrCat(base == nullptr ? "/tmp" : base, "/mend-run-XXXXXX");
    if (::mkdtemp(path.data()) == nullptr) {
      return absl::InternalError(absl::StrCat("cannot make '", path, "': ", std::strerror(errno)));
    }
    return ScratchDirectory(path);
  }

  std::string NewFile(const std::string& name) {
    files_.push_back(absl::StrCat(path_, "/", name));
    return files_.back();
  }

  void Remove() const {
    for (const std::string& file : files_) ::unlink(file.c_str());
    ::rmdir(path_.c_str());
  }

  // Removes it once this process has become the program: a process apart waits for the
  // close-on-exec end of a pipe to close. It is not the program's child.
  void RemoveAfterExec() const {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const pid_t child = ::fork();
    if (child == 0) {
      if (::fork() != 0) ::_exit(0);
      ::close(ends[1]);
      ::setsid();
      char byte;
      while (::read(ends[0], &byte, 1) < 0 && errno == EINTR) {
      }
      Remove();
      ::_exit(0);
    }
    ::close(ends[0]);
    int status = 0;
    if (child > 0) ::waitpid(child, &status, 0);
    // ends[1] stays open until the program is executed.
  }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
  std::vector<std::string> files_;
};

std::string BaseName(const std::string& file) {
  const std::string name = file.substr(file.rfind('/') + 1);
  return name.substr(0, name.rfind('.'));
}

// What the program is called: the first operand that is a file.
std::string ProgramName(const std::vector<std::string>& operands) {
  for (const std::string& operand : operands) {
    if (operand[0] != '-' && !BaseName(operand).empty()) return BaseName(operand);
  }
  return "program";
}

// Builds the executable. Non-zero: the exit code, said already.
int Build(const std::vector<std::string>& operands, ScratchDirectory* scratch,
          std::string* executable) {
  const std::string patchc = FindPatchc();
  const bool only_c = std::all_of(operands.begin(), operands.end(), [](const std::string& word) {
    return word[0] == '-' || IsCSource(word);
  });
  *executable = scratch->NewFile(ProgramName(operands));
  std::vector<std::string> link = {patchc, only_c ? "cc" : "c++", "-O2", "-o", *executable};
  for (const std::string& operand : operands) {
    if (only_c || !IsCSource(operand)) {
      link.push_back(operand);
      continue;
    }
    // The C++ driver would take it for C++.
    link.push_back(scratch->NewFile(absl::StrCat(link.size(), ".o")));
    if (RunCommand({patchc, "cc", "-O2", "-c", "-o", link.back(), operand}) != 0) {
      return kExitRefusedToRun;
    }
  }
  return RunCommand(link) == 0 ? 0 : kExitRefusedToRun;
}

// Becomes the program.
int Execute(const std::string& file, const std::string& name, const RunWords& run) {
  std::vector<std::string> options;
  if (const char* inherited = std::getenv(kOptionsVariable); inherited != nullptr) {
    options = SplitOptionWords(inherited);
  }
  options.insert(options.end(), run.options.begin(), run.options.end());
  if (!options.empty()) ::setenv(kOptionsVariable, JoinOptionWords(options).c_str(), 1);
  std::vector<std::string> words = {name};
  words.insert(words.end(), run.arguments.begin(), run.arguments.end());
  ::execve(file.c_str(), Pointers(&words).data(), environ);
  return Fail(errno == ENOENT ? kExitNotFound : kExitRefusedToRun,
              absl::StrCat("cannot run '", file, "': ", std::strerror(errno)));
}

int BuildAndExecute(const RunWords& run) {
  for (const std::string& operand : run.operands) {
    if (operand[0] != '-' && ::access(operand.c_str(), R_OK) != 0) {
      return Fail(errno == ENOENT ? kExitNotFound : kExitRefusedToRun,
                  absl::StrCat("'", operand, "': ", std::strerror(errno)));
    }
  }
  absl::StatusOr<ScratchDirectory> scratch = ScratchDirectory::Make();
  if (!scratch.ok()) return Fail(kExitRefusedToRun, std::string(scratch.status().message()));
  std::string executable;
  const int built = Build(run.operands, &*scratch, &executable);
  if (built != 0) {
    scratch->Remove();
    return built;
  }
  scratch->RemoveAfterExec();
  return Execute(executable, executable, run);
}

}  // namespace

int RunProgram(const std::vector<std::string>& words) {
  const RunWords run = SplitWords(words);
  const absl::StatusOr<HostOptions> options = ParseHostOptions(run.options);
  if (!options.ok()) return Fail(kExitUsage, std::string(options.status().message()));
  if (run.operands.empty()) return Fail(kExitUsage, "run takes a program; see mend run --help");
  if (IsBuildOperand(run.operands.front())) return BuildAndExecute(run);
  const std::string file = FindProgram(run.operands.front());
  if (file.empty()) {
    return Fail(kExitNotFound, absl::StrCat("program '", run.operands.front(), "' was not found"));
  }
  const absl::Status executable = CheckExecutable(file);
  if (!executable.ok()) return Fail(kExitRefusedToRun, std::string(executable.message()));
  return Execute(file, run.operands.front(), run);
}

}  // namespace mend
