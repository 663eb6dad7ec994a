#include "mend/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "mend/client.h"

namespace mend {

void OpenClosedStreams(bool discards_output) {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    const bool fails = fd == STDOUT_FILENO && !discards_output;
    // The lowest number that is free is this one.
    (void)::open("/dev/null", (fails ? O_RDONLY : O_RDWR) | (discards_output ? 0 : O_CLOEXEC));
  }
}

int FinishOutput(const char* program, int exit_code) {
  const bool had_failed = std::ferror(stdout) != 0;
  errno = 0;
  if (std::fflush(stdout) == 0 && !had_failed) return exit_code;
  std::fprintf(stderr, "%s: cannot write to standard output%s%s\n", program, errno == 0 ? "" : ": ",
               errno == 0 ? "" : std::strerror(errno));
  return exit_code == kExitOk ? int{kExitInternal} : exit_code;
}

}  // namespace mend
