// A hosted program that a test runs as its child, and speaks to.
#ifndef MEND_TESTS_SUPPORT_HOSTED_PROCESS_H_
#define MEND_TESTS_SUPPORT_HOSTED_PROCESS_H_

#include <sys/types.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mend::testing {

// The contents of a file; empty where there is none.
std::string ContentsOf(const std::filesystem::path& path);

// Its standard input is a pipe that ends it, its standard output one that it answers to; its
// standard error is the file `stderr`, and its control socket `control.sock`, in the directory.
class HostedProcess {
 public:
  // `options`: what MEND_OPTIONS has besides the socket.
  HostedProcess(const std::vector<std::string>& command, const std::filesystem::path& directory,
                const std::string& options);
  // Kills it, unless it has been awaited.
  ~HostedProcess();
  HostedProcess(const HostedProcess&) = delete;
  HostedProcess& operator=(const HostedProcess&) = delete;

  // False when it does not read any more.
  bool Write(std::string_view text) const;
  // With its newline; empty when it writes no more.
  std::string ReadLine() const;

  void EndInput();
  // Returns the wait status.
  int Await();

  pid_t pid() const { return pid_; }
  std::string socket() const { return directory_ / "control.sock"; }
  std::string StandardError() const { return ContentsOf(directory_ / "stderr"); }

 private:
  const std::filesystem::path directory_;
  pid_t pid_ = -1;  // -1: it has been awaited
  int stdin_ = -1;
  FILE* stdout_ = nullptr;
};

}  // namespace mend::testing

#endif  // MEND_TESTS_SUPPORT_HOSTED_PROCESS_H_
