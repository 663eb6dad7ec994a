#include "agree_waits.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "agree.h"

namespace {

int tick_pipe[2];
FILE* tick_lines = nullptr;  // fed by the ticker, as the pipe
int tick_lines_in = -1;
int epoll_descriptor = -1;
int silent_sockets[2];
sem_t nobody_posts;
pthread_rwlock_t read_write = PTHREAD_RWLOCK_INITIALIZER;

timespec SoonRealtime() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += kShort.tv_nsec;
  if (time.tv_nsec >= 1'000'000'000) {
    time.tv_nsec -= 1'000'000'000;
    ++time.tv_sec;
  }
  return time;
}

void ClockSleep() { clock_nanosleep(CLOCK_MONOTONIC, 0, &kShort, nullptr); }
void ReadPipe() {
  char byte;
  (void)!read(tick_pipe[0], &byte, 1);
}
void ReadLine() {
  char line[8];
  (void)!fgets(line, sizeof line, tick_lines);
}
void PollNothing() {
  pollfd nothing = {-1, 0, 0};
  poll(&nothing, 1, 1);
}
void EpollNothing() {
  epoll_event event;
  epoll_wait(epoll_descriptor, &event, 1, 1);
}
void SelectNothing() {
  timeval time = {0, 600};
  select(0, nullptr, nullptr, nullptr, &time);
}
void Receive() {
  char byte;
  (void)!recv(silent_sockets[0], &byte, 1, 0);  // which has a time-out
}
void Semaphore() {
  const timespec end = SoonRealtime();
  sem_timedwait(&nobody_posts, &end);
}
void ReadLock() {
  pthread_rwlock_rdlock(&read_write);
  Spin(500);
  pthread_rwlock_unlock(&read_write);
}
void WriteLock() {
  pthread_rwlock_wrlock(&read_write);
  nanosleep(&kShort, nullptr);
  pthread_rwlock_unlock(&read_write);
}
void WaitForSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  sigtimedwait(&set, nullptr, &kShort);
}
// No wrapper knows this one.
void RawFutex() {
  static std::atomic<int> word{0};
  syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &kShort, nullptr, 0);
}

}  // namespace

const std::vector<void (*)()> waits = {
    SleepFor, ClockSleep, ReadPipe, ReadLine,  PollNothing,   EpollNothing, SelectNothing,
    Receive,  Semaphore,  ReadLock, WriteLock, WaitForSignal, RawFutex};

bool PrepareWaits() {
  int lines[2];
  if (pipe(tick_pipe) != 0 || pipe(lines) != 0) return false;
  tick_lines = fdopen(lines[0], "r");
  tick_lines_in = lines[1];
  for (const int writer : {tick_pipe[1], tick_lines_in}) {
    if (fcntl(writer, F_SETFL, O_NONBLOCK) != 0) return false;
  }
  epoll_descriptor = epoll_create1(0);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, silent_sockets) != 0) return false;
  const timeval time = {0, 600};
  setsockopt(silent_sockets[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  return sem_init(&nobody_posts, 0, 0) == 0;
}

void FeedReaders() {
  // Full pipes are left as they are: the readers are slower, and stop before the feeder does.
  (void)!write(tick_pipe[1], "x", 1);
  (void)!write(tick_lines_in, "\n", 1);
}

void StopFeedingReaders() {
  close(tick_pipe[1]);
  close(tick_lines_in);
}
