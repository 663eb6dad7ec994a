#include "runtime/base/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace mend {
namespace {

int64_t RealTimeNs() {
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Writes a line with one write(2). A line that cannot be written is lost: the log must not hold up
// the program, and the event stays readable. What is left after a short write (a full disk, or a
// pipe) is dropped for the same reason.
void WriteLine(int fd, std::string line) {
  line += '\n';
  while (::write(fd, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace

EventLog::~EventLog() {
  MutexLock lock(&mu_);
  if (line_fd_ > STDERR_FILENO) ::close(line_fd_);
}

absl::Status EventLog::OpenLines(const std::string& path) {
  int fd = STDERR_FILENO;
  if (!path.empty()) {
    fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot open log '", path, "': ", std::strerror(errno)));
    }
    // Away from the low numbers, which the hosted program may expect to get or to close.
    const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, 512);
    if (high >= 0) {
      ::close(fd);
      fd = high;
    }
  }
  MutexLock lock(&mu_);
  if (line_fd_ > STDERR_FILENO) ::close(line_fd_);
  line_fd_ = fd;
  return absl::OkStatus();
}

void EventLog::Append(Event event) {
  MutexLock lock(&mu_);
  event.seq = next_seq_++;
  event.time_ns = RealTimeNs();
  // Written under the lock, so that lines have the order of their numbers.
  if (line_fd_ >= 0 && !event.text.empty()) WriteLine(line_fd_, event.text);
  events_.push_back(std::move(event));
  if (events_.size() > kEventsMax) events_.pop_front();
}

std::vector<Event> EventLog::ReadAfter(uint64_t after, absl::Duration timeout) const {
  MutexLock lock(&mu_);
  const auto has_news = [this, after]()
                            ABSL_SHARED_LOCKS_REQUIRED(mu_) { return next_seq_ - 1 > after; };
  if (!mu_.AwaitWithTimeout(has_news, timeout)) return {};
  // Numbers have no gaps, so the place of an event follows from its number.
  const uint64_t first = events_.front().seq;
  const uint64_t skip = after < first ? 0 : after - first + 1;
  return {events_.begin() + static_cast<std::ptrdiff_t>(skip), events_.end()};
}

void EventLog::PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  mu_.Lock();
  forking_pid_ = ::getpid();
}

void EventLog::AfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (::getpid() == forking_pid_) {
    mu_.Unlock();
  } else {
    mu_.ResetAfterFork();
  }
}

Event LivepatchEvent(std::string kind, std::string patch, std::string text) {
  Event event;
  event.kind = std::move(kind);
  event.patch = std::move(patch);
  event.text = absl::StrCat("livepatch: ", text);
  return event;
}

Event MendEvent(std::string kind, std::string patch, std::string text) {
  Event event;
  event.kind = std::move(kind);
  event.patch = std::move(patch);
  event.text = absl::StrCat("mend: ", text);
  return event;
}

}  // namespace mend
