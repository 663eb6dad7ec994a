#include "runtime/base/event_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace mend {
namespace {

using ::testing::ElementsAre;

// A file that is removed at the end of a test.
class ScratchFile {
 public:
  ScratchFile() {
    char path[] = "/tmp/mend-event-log-XXXXXX";
    ::close(::mkstemp(path));
    path_ = path;
  }
  ~ScratchFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

  std::vector<std::string> Lines() const {
    std::ifstream file(path_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

 private:
  std::string path_;
};

TEST(EventLogTest, LineIsInTheFileWhenAppendReturns) {
  const ScratchFile file;
  EventLog log;
  ASSERT_TRUE(log.OpenLines(file.path()).ok());
  log.Append(LivepatchEvent("enabling", "fix", "enabling patch 'fix'"));
  EXPECT_THAT(file.Lines(), ElementsAre("livepatch: enabling patch 'fix'"));
  log.Append(MendEvent("poke", "fix", "poking"));
  Event typed;
  typed.kind = "thread_switched";
  log.Append(typed);
  EXPECT_THAT(file.Lines(), ElementsAre("livepatch: enabling patch 'fix'", "mend: poking"));
}

// Standard error, led into a pipe for the time of a test.
class ErrorPipe {
 public:
  ErrorPipe() {
    if (::pipe(ends_) != 0) std::abort();
    saved_ = ::dup(STDERR_FILENO);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~ErrorPipe() {
    ::dup2(saved_, STDERR_FILENO);
    for (const int fd : {saved_, ends_[0], ends_[1]}) ::close(fd);
  }
  // Reads until the pipe is empty.
  std::string Read() const {
    std::string text(1 << 20, '\0');
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    size_t size = 0;
    for (ssize_t got; (got = ::read(ends_[0], &text[size], text.size() - size)) > 0;) {
      size += static_cast<size_t>(got);
    }
    text.resize(size);
    return text;
  }
  void CloseReader() {
    ::close(ends_[0]);
    ends_[0] = -1;
    ::dup2(STDERR_FILENO, ends_[1]);
  }

 private:
  int ends_[2] = {-1, -1};
  int saved_ = -1;
};

TEST(EventLogTest, PipeThatNobodyReadsHoldsNobodyUpAndTheLossIsCounted) {
  const ErrorPipe pipe;
  EventLog log;
  ASSERT_TRUE(log.OpenLines("").ok());
  const std::string line(1000, 'x');
  for (int i = 0; i < 200; ++i) log.Append(MendEvent("kind", "fix", line));
  const std::string first = pipe.Read();
  EXPECT_GT(first.size(), 50'000u);
  EXPECT_LT(first.size(), 100'000u);
  const size_t taken = first.size() / (line.size() + std::string("mend: \n").size());
  log.Append(MendEvent("kind", "fix", "again"));
  EXPECT_EQ(pipe.Read(), absl::StrCat("mend: ", 200 - taken,
                                      " line(s) of this log could not be written\nmend: again\n"));
  EXPECT_EQ(::fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0) << "others write there too";
}

TEST(EventLogTest, LineLongerThanThePipeHoldsNobodyUp) {
  const ErrorPipe pipe;
  EventLog log;
  ASSERT_TRUE(log.OpenLines("").ok());
  log.Append(MendEvent("kind", "fix", std::string(1 << 20, 'x')));
  EXPECT_GT(pipe.Read().size(), 4096u);
}

TEST(EventLogTest, PipeWithoutReaderKillsNobody) {
  ErrorPipe pipe;
  pipe.CloseReader();
  EventLog log;
  ASSERT_TRUE(log.OpenLines("").ok());
  log.Append(MendEvent("kind", "fix", "line"));
  EXPECT_EQ(log.ReadAfter(0, absl::ZeroDuration()).size(), 1u);
}

TEST(EventLogTest, NamedPipeWithoutReaderIsRefused) {
  const ScratchFile file;
  ::unlink(file.path().c_str());
  ASSERT_EQ(::mkfifo(file.path().c_str(), 0600), 0);
  EventLog log;
  EXPECT_FALSE(log.OpenLines(file.path()).ok());
}

TEST(EventLogTest, FileIsAppendedTo) {
  const ScratchFile file;
  for (int run = 0; run < 2; ++run) {
    EventLog log;
    ASSERT_TRUE(log.OpenLines(file.path()).ok());
    log.Append(MendEvent("run", "", absl::StrCat("run ", run)));
  }
  EXPECT_THAT(file.Lines(), ElementsAre("mend: run 0", "mend: run 1"));
}

// What a daemon does when it starts. The line must neither be lost nor end up in the daemon's file.
TEST(EventLogTest, DescriptorThatTheProgramTookIsLeftAlone) {
  const ScratchFile file;
  const ScratchFile of_program;
  EventLog log;
  ASSERT_TRUE(log.OpenLines(file.path()).ok());
  log.Append(MendEvent("kind", "", "before"));
  const int own = ::open(of_program.path().c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_GE(own, 0);
  for (int number = 512; number < 520; ++number) ASSERT_EQ(::dup2(own, number), number);
  log.Append(MendEvent("kind", "", "after"));
  EXPECT_THAT(file.Lines(), ElementsAre("mend: before", "mend: after"));
  EXPECT_THAT(of_program.Lines(), ElementsAre());
  for (int number = 512; number < 520; ++number) ::close(number);
  ::close(own);
  log.Append(MendEvent("kind", "", "later"));
  EXPECT_THAT(file.Lines(), ElementsAre("mend: before", "mend: after", "mend: later"));
}

TEST(EventLogTest, LogThatCannotBeOpenedIsNamed) {
  EventLog log;
  const absl::Status status = log.OpenLines("/nonexistent/log");
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), "/nonexistent/log"));
}

// Two logs share the file, so only single, appended writes keep lines whole.
TEST(EventLogTest, LinesOfManyThreadsAndTwoLogsStayWhole) {
  constexpr int kThreads = 4;
  constexpr int kLines = 2000;
  const ScratchFile file;
  EventLog logs[2];
  for (EventLog& log : logs) ASSERT_TRUE(log.OpenLines(file.path()).ok());
  const std::string text(200, 'x');
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kLines; ++i) logs[t % 2].Append(MendEvent("kind", "", text));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = file.Lines();
  ASSERT_EQ(lines.size(), size_t{kThreads} * kLines);
  for (const std::string& line : lines) ASSERT_EQ(line, "mend: " + text);
}

TEST(EventLogTest, NumbersHaveNoGapsAndFollowTheLines) {
  const ScratchFile file;
  EventLog log;
  ASSERT_TRUE(log.OpenLines(file.path()).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 500; ++i) log.Append(MendEvent("kind", "", absl::StrCat(t, ":", i)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<Event> events = log.ReadAfter(0, absl::ZeroDuration());
  const std::vector<std::string> lines = file.Lines();
  ASSERT_EQ(events.size(), 2000u);
  ASSERT_EQ(lines.size(), 2000u);
  for (size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].seq, i + 1);
    ASSERT_EQ(events[i].text, lines[i]);
  }
}

TEST(EventLogTest, ReaderTakesOnlyWhatIsNewer) {
  EventLog log;
  for (int i = 0; i < 5; ++i) log.Append(MendEvent("kind", "", absl::StrCat(i)));
  const std::vector<Event> events = log.ReadAfter(3, absl::ZeroDuration());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].seq, 4u);
  EXPECT_TRUE(log.ReadAfter(5, absl::ZeroDuration()).empty());
  EXPECT_TRUE(log.ReadAfter(~uint64_t{0}, absl::ZeroDuration()).empty());
}

TEST(EventLogTest, ReaderWaitsForTheNextEvent) {
  EventLog log;
  std::thread writer([&log] {
    absl::SleepFor(absl::Milliseconds(20));
    log.Append(MendEvent("late", "", "late"));
  });
  const std::vector<Event> events = log.ReadAfter(0, absl::Seconds(30));
  writer.join();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, "late");
}

TEST(EventLogTest, OldestEventsGoWhenThereAreTooMany) {
  EventLog log;
  for (size_t i = 0; i < EventLog::kEventsMax + 10; ++i) log.Append(Event());
  const std::vector<Event> events = log.ReadAfter(0, absl::ZeroDuration());
  ASSERT_EQ(events.size(), EventLog::kEventsMax);
  EXPECT_EQ(events.front().seq, 11u);
}

EventLog* log_of_handler = nullptr;
volatile int handlers_run = 0;

// It takes the log's lock, which its thread may hold.
TEST(EventLogTest, HandlerThatForksMeetsNoLockOfItsOwnThread) {
  EXPECT_EXIT(
      {
        alarm(20);
        const ScratchFile file;
        EventLog log;
        log_of_handler = &log;
        if (!log.OpenLines(file.path()).ok()) _exit(1);
        struct sigaction action = {};
        action.sa_handler = [](int) {
          log_of_handler->PrepareFork();
          log_of_handler->AfterFork();
          handlers_run = handlers_run + 1;
        };
        sigaction(SIGPROF, &action, nullptr);
        itimerval often = {};
        often.it_interval.tv_usec = often.it_value.tv_usec = 1000;
        setitimer(ITIMER_PROF, &often, nullptr);
        while (handlers_run < 50) log.Append(LivepatchEvent("kind", "patch", "a line"));
        const itimerval never = {};
        setitimer(ITIMER_PROF, &never, nullptr);
        unlink(file.path().c_str());
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

// The reader's wait is queued in the log's mutex when the process forks; the child has no such
// thread, and must be able to append, wait and be woken all the same.
TEST(EventLogTest, ForkedChildKeepsTheLogThoughAReaderWaits) {
  EventLog log;
  log.Append(MendEvent("first", "", "first"));
  std::thread reader([&log] { (void)log.ReadAfter(1, absl::Seconds(60)); });
  absl::SleepFor(absl::Milliseconds(50));
  log.PrepareFork();
  const pid_t child = ::fork();
  log.AfterFork();
  if (child == 0) {
    ::alarm(30);
    std::thread writer([&log] { log.Append(MendEvent("second", "", "second")); });
    const bool woken = log.ReadAfter(1, absl::Seconds(20)).size() == 1;
    writer.join();
    ::_exit(woken ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  log.Append(MendEvent("second", "", "second"));
  reader.join();
}

}  // namespace
}  // namespace mend
