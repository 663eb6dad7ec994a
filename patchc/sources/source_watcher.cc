#include "patchc/sources/source_watcher.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

constexpr int kQuietMilliseconds = 10;

bool IsReadable(int descriptor, int timeout_milliseconds) {
  pollfd waits{.fd = descriptor, .events = POLLIN, .revents = 0};
  return poll(&waits, 1, timeout_milliseconds) > 0;
}

}  // namespace

absl::StatusOr<SourceWatcher> SourceWatcher::Create(const std::set<std::string>& files) {
  SourceWatcher watcher(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (watcher.notifications_ < 0) {
    return absl::ResourceExhaustedError(absl::StrCat("inotify: ", std::strerror(errno)));
  }
  watcher.files_ = files;
  std::set<std::string> folders;
  for (const std::string& file : files) {
    folders.insert(std::filesystem::path(file).parent_path().string());
  }
  for (const std::string& folder : folders) {
    if (absl::Status watched = watcher.Watch(folder); !watched.ok()) return watched;
  }
  return watcher;
}

SourceWatcher::SourceWatcher(SourceWatcher&& other) noexcept
    : notifications_(std::exchange(other.notifications_, -1)),
      files_(std::move(other.files_)),
      folders_(std::move(other.folders_)) {}

SourceWatcher::~SourceWatcher() {
  if (notifications_ >= 0) close(notifications_);
}

absl::Status SourceWatcher::Watch(const std::string& folder) {
  const int watch =
      inotify_add_watch(notifications_, folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
  if (watch < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot watch ", folder, ": ", std::strerror(errno)));
  }
  folders_[watch] = folder;
  return absl::OkStatus();
}

void SourceWatcher::TakeEvents(std::set<std::string>& saved) {
  alignas(inotify_event) std::array<char, 16384> buffer;
  ssize_t size = 0;
  while ((size = read(notifications_, buffer.data(), buffer.size())) > 0) {
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      // Events were lost: any file may have been saved.
      if ((event->mask & IN_Q_OVERFLOW) != 0) saved = files_;
      if (event->len == 0) continue;
      std::string file = absl::StrCat(folders_[event->wd], "/", event->name);
      if (files_.contains(file)) saved.insert(std::move(file));
    }
  }
}

std::set<std::string> SourceWatcher::Wait(const std::vector<int>& others) {
  std::set<std::string> saved;
  while (saved.empty()) {
    std::vector<pollfd> waits = {{.fd = notifications_, .events = POLLIN, .revents = 0}};
    for (const int other : others) waits.push_back({.fd = other, .events = POLLIN, .revents = 0});
    if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return saved;
    for (size_t i = 1; i < waits.size(); ++i) {
      if (waits[i].revents != 0) return saved;
    }
    TakeEvents(saved);
  }
  while (IsReadable(notifications_, kQuietMilliseconds)) TakeEvents(saved);
  return saved;
}

}  // namespace mend::patchc
