// EventLog: every step of the core as a typed event, numbered in order.
//
// The text of an event, in the wording of the kernel's log, is also a line for people: events of
// the kernel's kinds get the prefix "livepatch: ", mend's own "mend: ", and `mend_log` lines none.
// A line is written with one write(2) before Append returns, so a command's lines are in the log
// before the command returns. Nothing waits for whoever reads them: what a full pipe or disk does
// not take is lost, and counted in front of the next line that is written.
//
// Thread safety: all methods are thread-safe. Never called from signal handlers or the poll path.
#ifndef MEND_RUNTIME_BASE_EVENT_LOG_H_
#define MEND_RUNTIME_BASE_EVENT_LOG_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"

namespace mend {

struct Event {
  uint64_t seq = 0;     // from 1, without gaps
  int64_t time_ns = 0;  // CLOCK_REALTIME
  std::string kind;     // "enabling", "transition_init", ..., "thread_switched", "guest_log"
  std::string patch;
  std::string object;
  pid_t tid = 0;     // 0: no thread
  std::string text;  // the line, prefix included; empty: a typed event without a line
};

class EventLog {
 public:
  // The newest this many events are kept for readers: some 4 MB, sixteen transitions of a thousand
  // threads.
  static constexpr size_t kEventsMax = 16384;

  EventLog();
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Lines go to `path` (appended) from now on; an empty path means standard error. By default no
  // lines are written.
  absl::Status OpenLines(const std::string& path);

  // Numbers, stamps and keeps the event; writes its line if it has a text.
  void Append(Event event);

  // Events with seq > `after`, oldest first; waits up to `timeout` for the first one.
  std::vector<Event> ReadAfter(uint64_t after, absl::Duration timeout) const;

  // Around fork, in the forking thread: the child keeps the log as it is.
  void PrepareFork();
  void AfterFork();

 private:
  class LineFile;

  void WriteText(const std::string& text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool WriteLineTo(std::string_view line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::deque<Event> events_ ABSL_GUARDED_BY(mu_);
  uint64_t next_seq_ ABSL_GUARDED_BY(mu_) = 1;
  bool writes_lines_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<LineFile> line_file_ ABSL_GUARDED_BY(mu_);  // null: standard error
  uint64_t lost_lines_ ABSL_GUARDED_BY(mu_) = 0;              // since the last one that was written
  pid_t forking_pid_ ABSL_GUARDED_BY(mu_) = 0;
};

// Constructors for the two kinds of lines.
Event LivepatchEvent(std::string kind, std::string patch, const std::string& text);
Event MendEvent(std::string kind, std::string patch, const std::string& text);

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_EVENT_LOG_H_
