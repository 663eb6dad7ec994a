#include "tests/support/hosted_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "runtime/base/read_file.h"

namespace mend::testing {

std::string ContentsOf(const std::filesystem::path& path) { return ReadFile(path).value_or(""); }

HostedProcess::HostedProcess(const std::vector<std::string>& command,
                             const std::filesystem::path& directory, const std::string& options)
    : directory_(directory) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::abort();
  const std::string variable = absl::StrCat("--socket ", socket(), " ", options);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(open((directory / "stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    setenv("MEND_OPTIONS", variable.c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  stdin_ = in[1];
  stdout_ = fdopen(out[0], "r");
}

HostedProcess::~HostedProcess() {
  EndInput();
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    Await();
  }
  fclose(stdout_);
}

bool HostedProcess::Write(std::string_view text) const {
  return write(stdin_, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string HostedProcess::ReadLine() const {
  char line[256] = "";
  return fgets(line, sizeof line, stdout_) == nullptr ? "" : line;
}

void HostedProcess::EndInput() {
  if (stdin_ >= 0) close(stdin_);
  stdin_ = -1;
}

int HostedProcess::Await() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

}  // namespace mend::testing
