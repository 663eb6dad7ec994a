#include "runtime/base/standard_error.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace mend {
namespace {

// A file's identity. One that is read while it is written is that of no file: a line is lost then.
class FileIdentity {
 public:
  void Store(const struct stat& status) noexcept {
    device_.store(status.st_dev, std::memory_order_relaxed);
    file_.store(status.st_ino, std::memory_order_relaxed);
  }
  bool Is(const struct stat& status) const noexcept {
    return device_.load(std::memory_order_relaxed) == status.st_dev &&
           file_.load(std::memory_order_relaxed) == status.st_ino;
  }

 private:
  std::atomic<dev_t> device_{0};
  std::atomic<ino_t> file_{0};
};

constinit std::atomic<bool> noted{false};
constinit std::atomic<bool> replaced{false};
constinit FileIdentity at_start;
constinit FileIdentity of_program;  // what it has put there

bool Look(struct stat* status) noexcept {
  const int saved_errno = errno;
  const bool is_open = ::fstat(STDERR_FILENO, status) == 0;
  errno = saved_errno;
  return is_open;
}

}  // namespace

void NoteStandardError() {
  struct stat status = {};
  if (Look(&status)) at_start.Store(status);
  noted.store(true, std::memory_order_relaxed);
}

void StandardErrorReplaced() noexcept { replaced.store(true, std::memory_order_relaxed); }

bool IsStandardError() noexcept {
  if (!noted.load(std::memory_order_relaxed)) return true;
  struct stat status = {};
  if (!Look(&status)) return false;
  if (at_start.Is(status)) return true;
  // Looked at only now: of what has been put there it is the last that counts.
  if (replaced.exchange(false, std::memory_order_relaxed)) of_program.Store(status);
  return of_program.Is(status);
}

}  // namespace mend
