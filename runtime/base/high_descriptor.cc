#include "runtime/base/high_descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace mend {
namespace {

constexpr int kDescriptorMin = 512;

}  // namespace

int MoveDescriptorUp(int fd) {
  if (fd < 0) return fd;
  const int error = errno;
  const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, kDescriptorMin);
  if (high >= 0) ::close(fd);
  errno = error;
  return high >= 0 ? high : fd;
}

void MakeRoomForDescriptorsUp() {
  const int fd = MoveDescriptorUp(::open("/", O_PATH | O_CLOEXEC));
  if (fd >= 0) ::close(fd);
}

}  // namespace mend
