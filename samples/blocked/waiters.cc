// Threads that are all asleep, each in a different call, when a patch comes. A patch switches them
// where they are: none is woken, no call fails with EINTR.
//
// Each line on standard input wakes every thread once; each then says how often it woke and which
// version of `Describe` it called.
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

__attribute__((noinline)) const char* Describe() { return "first"; }

namespace {

std::mutex output;

struct Waiter {
  std::string name;
  std::function<bool()> wait;  // false: the wait ended for no reason of ours
  std::function<void()> wake;
};

// A pipe per waiter: wake by writing a byte.
struct Pipe {
  Pipe() {
    if (pipe(ends) != 0) std::perror("pipe");
  }
  bool Take() const {
    char byte;
    return read(ends[0], &byte, 1) == 1;
  }
  void Put() const {
    if (write(ends[1], "x", 1) != 1) std::perror("write");
  }
  int ends[2];
};

// Counts up and down under a lock, with a condition to wait for.
struct Turnstile {
  void Pass() {
    std::unique_lock<std::mutex> lock(mutex);
    condition.wait(lock, [this] { return open > 0; });
    --open;
  }
  void Open() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      ++open;
    }
    condition.notify_one();
  }
  std::mutex mutex;
  std::condition_variable condition;
  int open = 0;
};

void Loop(const Waiter& waiter) {
  for (int woke = 1;; ++woke) {
    errno = 0;
    if (!waiter.wait()) {
      std::printf("%s: woken for no reason (errno %d)\n", waiter.name.c_str(), errno);
      return;
    }
    const std::lock_guard<std::mutex> lock(output);
    std::printf("%s: woke %d time%s, %s\n", waiter.name.c_str(), woke, woke == 1 ? "" : "s",
                Describe());
    std::fflush(stdout);
  }
}

std::vector<Waiter> MakeWaiters() {
  static Pipe read_pipe, poll_pipe, epoll_pipe;
  // Never destroyed: the end of the program does not wait for the threads that wait here.
  static Turnstile& turnstile = *new Turnstile;
  static sem_t semaphore;
  static const int epoll = epoll_create1(0);
  sem_init(&semaphore, 0, 0);
  epoll_event event = {};
  event.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, epoll_pipe.ends[0], &event);
  return {
      {"read", [] { return read_pipe.Take(); }, [] { read_pipe.Put(); }},
      {"poll",
       [] {
         pollfd entry = {poll_pipe.ends[0], POLLIN, 0};
         return poll(&entry, 1, -1) == 1 && poll_pipe.Take();
       },
       [] { poll_pipe.Put(); }},
      {"epoll_wait",
       [] {
         epoll_event ready;
         return epoll_wait(epoll, &ready, 1, -1) == 1 && epoll_pipe.Take();
       },
       [] { epoll_pipe.Put(); }},
      {"condition variable",
       [] {
         turnstile.Pass();
         return true;
       },
       [] { turnstile.Open(); }},
      {"semaphore", [] { return sem_wait(&semaphore) == 0; }, [] { sem_post(&semaphore); }},
  };
}

}  // namespace

int main() {
  static const std::vector<Waiter> waiters = MakeWaiters();
  for (const Waiter& waiter : waiters) std::thread(Loop, std::cref(waiter)).detach();
  std::puts("ready");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    for (const Waiter& waiter : waiters) waiter.wake();
  }
  return 0;
}
