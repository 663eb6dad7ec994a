// The program that the hosted stress test patches: threads of every kind call, inside functions
// that are replaced or held, pairs of functions whose versions must agree. Each unit that saw two
// versions counts as a mix; the driver (hosted_stress_test.cc) reads the count at the end.
//
// A patch is one changed line: kVersion. `Left` and `Right` return it, so both are replaced; the
// functions named Changing... contain it, so they are replaced too; the functions named Held...
// do not, and are held by the patch (or, in the control run, are not).
//
// The threads are many more than the processors, so most of them sleep most of the time, in every
// way: inside a unit (then they are blocked, and hold the patch back until they wake), or between
// two. Two threads never rest.
//
// Protocol: prints "ready", runs until standard input ends, then prints "units N mixes M".
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

constexpr int kVersion = 0;

namespace {

std::atomic<bool> stopping{false};
std::atomic<unsigned long> units{0};
std::atomic<unsigned long> mixes{0};

void Agree(int first, int second, const char* where) {
  units.fetch_add(1, std::memory_order_relaxed);
  if (first == second) return;
  if (mixes.fetch_add(1, std::memory_order_relaxed) < 10) {
    std::fprintf(stderr, "mix in %s: %d then %d\n", where, first, second);
  }
}

}  // namespace

// Out of line and opaque, so that each call passes the entry.
__attribute__((noinline)) int Left() {
  __asm__ volatile("");
  return kVersion;
}
__attribute__((noinline)) int Right() {
  __asm__ volatile("");
  return kVersion;
}

namespace {

void Spin(int turns) {
  for (volatile int i = 0; i < turns; i = i + 1) {
  }
}

}  // namespace

__attribute__((noinline)) void HeldLoop() {
  const int first = Left();
  Spin(200);
  Agree(first, Right(), "HeldLoop");
}

__attribute__((noinline)) void HeldRecursion(int depth, int first) {
  if (depth == 0) {
    Agree(first, Right(), "HeldRecursion");
    return;
  }
  HeldRecursion(depth - 1, depth == 40 ? Left() : first);
  Spin(3);  // keeps the call above from becoming a jump
}

std::mutex wait_mutex;
std::condition_variable wait_condition;

// Blocks inside libstdc++.
__attribute__((noinline)) void HeldCondition() {
  const int first = Left();
  {
    std::unique_lock<std::mutex> lock(wait_mutex);
    wait_condition.wait_for(lock, std::chrono::microseconds(300));
  }
  Agree(first, Right(), "HeldCondition");
}

__attribute__((noinline)) void HeldSleep() {
  const int first = Left();
  std::this_thread::sleep_for(std::chrono::microseconds(400));
  Agree(first, Right(), "HeldSleep");
}

int tick_pipe[2];

__attribute__((noinline)) void HeldRead() {
  const int first = Left();
  char byte;
  if (read(tick_pipe[0], &byte, 1) != 1) return;
  Agree(first, Right(), "HeldRead");
}

__attribute__((noinline)) void HeldPoll(int epoll) {
  const int first = Left();
  pollfd nothing = {-1, 0, 0};
  poll(&nothing, 1, 1);
  epoll_event event;
  epoll_wait(epoll, &event, 1, 1);
  Agree(first, Right(), "HeldPoll");
}

std::mutex contended;

__attribute__((noinline)) void HeldLock() {
  const int first = Left();
  {
    const std::lock_guard<std::mutex> lock(contended);
    Spin(2000);
  }
  Agree(first, Right(), "HeldLock");
}

int CompareAndCheck(const void* a, const void* b) {
  Agree(Left(), Right(), "a comparison within a held function");
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

__attribute__((noinline)) void HeldSort() {
  const int first = Left();
  int values[24];
  for (int i = 0; i < 24; ++i) values[i] = (i * 7) % 24;
  qsort(values, 24, sizeof values[0], CompareAndCheck);
  Agree(first, Right(), "HeldSort");
}

__attribute__((noinline)) void ThrowDeep(int depth) {
  const std::string frame_with_a_destructor(static_cast<size_t>(depth) + 20, 'x');
  if (depth == 0) throw std::runtime_error(frame_with_a_destructor);
  ThrowDeep(depth - 1);
}

__attribute__((noinline)) void HeldThrow() {
  const int first = Left();
  try {
    ThrowDeep(12);
  } catch (const std::exception&) {
    Agree(first, Right(), "HeldThrow");
  }
}

__attribute__((noinline)) void HeldSpawn() {
  const int first = Left();
  std::thread child([] { HeldLoop(); });
  child.join();
  Agree(first, Right(), "HeldSpawn");
}

// Waits for a shared state inside libstdc++. The other thread's calls are units of their own.
__attribute__((noinline)) void HeldFuture() {
  const int first = Left();
  std::future<void> done = std::async(std::launch::async, [] {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    HeldLoop();
  });
  done.get();
  Agree(first, Right(), "HeldFuture");
}

// Interrupts whatever the thread is doing, a blocked region too, and may sleep.
__attribute__((noinline)) void HeldHandler(int) {
  const int saved_errno = errno;
  const int first = Left();
  static std::atomic<unsigned> turn{0};
  if (turn.fetch_add(1, std::memory_order_relaxed) % 2 == 0) {
    const timespec pause = {0, 200'000};
    nanosleep(&pause, nullptr);
  } else {
    Spin(20);
  }
  Agree(first, Right(), "HeldHandler");
  errno = saved_errno;
}

// Contains the version itself: replaced, not held.
__attribute__((noinline)) void ChangingUnit() {
  const int own = kVersion;
  Spin(50);
  Agree(own, Left(), "ChangingUnit");
  const timespec pause = {0, 50'000};
  nanosleep(&pause, nullptr);
  Agree(own, Right(), "ChangingUnit");
}

namespace {

// Functions of the hosted program reach the handler, so it must be a plain function pointer.
void InstallHandler() {
  struct sigaction action = {};
  action.sa_handler = HeldHandler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
}

// Between two units a thread is in none, and asleep: it can be switched there.
void Rest() {
  const timespec pause = {0, 1'000'000};
  nanosleep(&pause, nullptr);
}

template <typename Unit>
void Repeat(std::vector<std::thread>& threads, int count, Unit unit) {
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([unit] {
      while (!stopping.load(std::memory_order_relaxed)) {
        unit();
        Rest();
      }
    });
  }
}

// In units nearly all the time, and runnable.
void Restless() {
  while (!stopping.load(std::memory_order_relaxed)) {
    HeldLoop();
    HeldSort();
    HeldRecursion(40, 0);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int scale = argc > 1 ? std::atoi(argv[1]) : 1;
  if (pipe(tick_pipe) != 0) return 1;
  const int epoll = epoll_create1(0);
  InstallHandler();
  std::vector<std::thread> threads;
  threads.reserve(14 * static_cast<size_t>(scale) + 3);  // the signaller reads it while it grows
  threads.emplace_back(Restless);
  threads.emplace_back(Restless);
  Repeat(threads, scale, HeldLoop);
  Repeat(threads, scale, [] { HeldRecursion(40, 0); });
  Repeat(threads, scale, HeldCondition);
  Repeat(threads, scale, HeldSleep);
  Repeat(threads, scale, HeldRead);
  Repeat(threads, scale, [epoll] { HeldPoll(epoll); });
  Repeat(threads, 2 * scale, HeldLock);
  Repeat(threads, scale, HeldSort);
  Repeat(threads, scale, HeldThrow);
  Repeat(threads, scale, HeldSpawn);
  Repeat(threads, scale, HeldFuture);
  Repeat(threads, scale, ChangingUnit);
  const size_t signalled = threads.size();
  threads.emplace_back([&threads, signalled] {
    size_t next = 0;
    while (!stopping.load(std::memory_order_relaxed)) {
      if (write(tick_pipe[1], "x", 1) != 1) break;
      pthread_kill(threads[next++ % signalled].native_handle(), SIGUSR1);
      usleep(700);
    }
  });
  std::puts("ready");
  std::fflush(stdout);
  char ignored[64];
  while (read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
  stopping = true;
  close(tick_pipe[1]);
  for (std::thread& thread : threads) {
    if (&thread != &threads.back()) continue;
    thread.join();  // the signaller first: it names the others
  }
  for (size_t i = 0; i < signalled; ++i) threads[i].join();
  std::printf("units %lu mixes %lu\n", units.load(), mixes.load());
  return 0;
}
