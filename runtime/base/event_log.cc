#include "runtime/base/event_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/high_descriptor.h"
#include "runtime/base/standard_error.h"
#include "runtime/base/uninterrupted.h"

namespace mend {
namespace {

int64_t RealTimeNs() {
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Whether a write of up to PIPE_BUF bytes neither waits nor raises SIGPIPE. A stream that was
// passed on is shared with other processes, so it cannot be made non-blocking.
bool TakesBytes(int fd, const struct stat& status) {
  if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) && !S_ISCHR(status.st_mode)) {
    return true;
  }
  pollfd asked = {fd, POLLOUT, 0};
  return ::poll(&asked, 1, 0) == 1 && (asked.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

// Writes a line with one write(2), if it is no longer than a pipe takes at once. A line that cannot
// be written is lost: the log must not hold up the program, and the event stays readable. What is
// left after a short write (a full disk, or a pipe that nobody reads) is dropped for the same
// reason. False if nothing of it was written.
bool WriteLine(int fd, std::string_view line) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) return false;
  const std::string text = absl::StrCat(std::string(line), "\n");
  const size_t most = S_ISREG(status.st_mode) ? text.size() : size_t{PIPE_BUF};
  size_t written = 0;
  while (written < text.size() && TakesBytes(fd, status)) {
    const ssize_t size = ::write(fd, text.data() + written, std::min(most, text.size() - written));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    written += static_cast<size_t>(size);
    if (S_ISREG(status.st_mode)) break;
  }
  return written > 0;
}

}  // namespace

// The file that lines go to. The hosted program may close the descriptor, as daemons close all that
// they do not know, and get the number again for a file of its own; so it is looked at before use.
class EventLog::LineFile {
 public:
  explicit LineFile(std::string path) : path_(std::move(path)) {}
  ~LineFile() {
    if (IsOpen()) ::close(fd_);
  }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  // False with errno. Does not wait for the reader of a pipe, here nor later.
  bool Open() {
    fd_ = MoveDescriptorUp(::open(
        path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666));
    return fd_ >= 0 && ::fstat(fd_, &identity_) == 0;
  }

  bool Write(std::string_view line) { return (IsOpen() || Open()) && WriteLine(fd_, line); }

 private:
  bool IsOpen() const {
    struct stat now;
    return fd_ >= 0 && ::fstat(fd_, &now) == 0 && now.st_dev == identity_.st_dev &&
           now.st_ino == identity_.st_ino;
  }

  const std::string path_;
  int fd_ = -1;
  struct stat identity_ = {};
};

EventLog::EventLog() = default;
EventLog::~EventLog() = default;

absl::Status EventLog::OpenLines(const std::string& path) {
  std::unique_ptr<LineFile> file;
  if (!path.empty()) {
    // The program may change its working directory.
    std::error_code ignored;
    file = std::make_unique<LineFile>(std::filesystem::absolute(path, ignored));
    if (!file->Open()) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot open log '", path, "': ", std::strerror(errno)));
    }
  }
  MutexLock lock(&mu_);
  writes_lines_ = true;
  line_file_ = std::move(file);
  return absl::OkStatus();
}

bool EventLog::WriteLineTo(std::string_view line) {
  return line_file_ != nullptr ? line_file_->Write(line) : WriteLine(STDERR_FILENO, line);
}

void EventLog::WriteText(const std::string& text) {
  if (!writes_lines_ || text.empty() || (line_file_ == nullptr && !IsStandardError())) return;
  if (lost_lines_ > 0 && WriteLineTo(absl::StrCat("mend: ", lost_lines_,
                                                  " line(s) of this log could not be written"))) {
    lost_lines_ = 0;
  }
  if (!WriteLineTo(text)) ++lost_lines_;
}

void EventLog::Append(Event event) {
  // Hosted code logs, too: a handler of the program's that forks would wait for the lock for ever.
  const Uninterrupted uninterrupted;
  MutexLock lock(&mu_);
  event.seq = next_seq_++;
  event.time_ns = RealTimeNs();
  // Written under the lock, so that lines have the order of their numbers.
  WriteText(event.text);
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

Event LivepatchEvent(std::string kind, std::string patch, const std::string& text) {
  Event event;
  event.kind = std::move(kind);
  event.patch = std::move(patch);
  event.text = absl::StrCat("livepatch: ", text);
  return event;
}

Event MendEvent(std::string kind, std::string patch, const std::string& text) {
  Event event;
  event.kind = std::move(kind);
  event.patch = std::move(patch);
  event.text = absl::StrCat("mend: ", text);
  return event;
}

}  // namespace mend
