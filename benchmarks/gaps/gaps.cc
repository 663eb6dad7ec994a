// The gaps that a spinning thread sees: gaps FRAMES CLOCK. A thread reads the clock (wall, or cpu:
// its own processor time) all the time, FRAMES frames deep, in a function that patches replace.
// Each line of input begins a window anew; the answer is the longest gap of the one before, in
// nanoseconds.
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "version.h"

namespace {

std::atomic<int64_t> longest_ns{0};
std::atomic<bool> restart{true};
clockid_t clock_id = CLOCK_MONOTONIC;

int64_t Now() {
  timespec now;
  clock_gettime(clock_id, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void Spin() {
  int64_t last = Now();
  volatile long sum = 0;
  while (true) {
    sum = sum + version();
    const int64_t now = Now();
    if (restart.exchange(false, std::memory_order_relaxed)) {
      longest_ns.store(0, std::memory_order_relaxed);
    } else if (now - last > longest_ns.load(std::memory_order_relaxed)) {
      longest_ns.store(now - last, std::memory_order_relaxed);
    }
    last = now;
  }
}

__attribute__((noinline)) void Descend(int frames) {
  if (frames <= 1) Spin();
  Descend(frames - 1);
  __asm__ volatile("");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int frames = atoi(argv[1]);
  if (strcmp(argv[2], "cpu") == 0) clock_id = CLOCK_THREAD_CPUTIME_ID;
  std::thread(Descend, frames).detach();
  puts("ready");
  fflush(stdout);
  char line[16];
  while (fgets(line, sizeof line, stdin) != nullptr) {
    printf("%lld\n", static_cast<long long>(longest_ns.load()));
    fflush(stdout);
    restart = true;
  }
  _exit(0);
}
