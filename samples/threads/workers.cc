// Threads that are busy in different ways when a patch comes: each must be switched, and none may
// see half of it. Counts how often `Left` and `Right`, called one after the other by one function,
// disagreed.
//
//   spinning    computes in a loop without any call: switched at a safepoint poll
//   recursing   is deep in its own recursion most of the time: switched when it has come back
//   sleeping    sleeps between two calls: switched while asleep, without being woken
//   tasks       runs a task of two seconds that the patch replaces: holds the patch back
//
// Prints a line a second; ends with standard input.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

__attribute__((noinline)) int Left() { return 1; }

__attribute__((noinline)) int Right() { return 1; }

namespace {

std::atomic<bool> stopping{false};
std::atomic<unsigned long> pairs{0};
std::atomic<unsigned long> mixed{0};
std::atomic<int> tasks_of_version{0};

// Between two units: a thread that is never outside its units would never be seen to be safe.
void Spin() {
  for (volatile int i = 0; i < 100'000; i = i + 1) {
  }
}

void Doze() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

void Compare(int left, int right) {
  pairs.fetch_add(1, std::memory_order_relaxed);
  if (left != right) mixed.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// Calls both: hold it (--hold SpinningUnit), or the two may be of different versions.
__attribute__((noinline)) void SpinningUnit() {
  const int left = Left();
  Spin();
  Compare(left, Right());
}

__attribute__((noinline)) void RecursingUnit(int depth) {
  const int left = Left();
  if (depth > 0) RecursingUnit(depth - 1);
  Compare(left, Right());
}

__attribute__((noinline)) void SleepingUnit() {
  const int left = Left();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Compare(left, Right());
}

// One task. The patch replaces this function, so a thread inside keeps the old one to its end.
__attribute__((noinline)) void Task() {
  std::this_thread::sleep_for(std::chrono::seconds(2));
  tasks_of_version.store(1);
}

int main() {
  std::vector<std::thread> threads;
  const auto repeat = [&threads](void (*unit)(), void (*between)()) {
    threads.emplace_back([unit, between] {
      while (!stopping.load()) {
        unit();
        between();
      }
    });
  };
  repeat(SpinningUnit, Spin);
  repeat([] { RecursingUnit(200); }, Spin);
  repeat(SleepingUnit, Doze);
  repeat(Task, Doze);

  pollfd input = {STDIN_FILENO, POLLIN, 0};
  char discarded[256];
  for (;;) {
    if (poll(&input, 1, 1000) > 0 && read(STDIN_FILENO, discarded, sizeof discarded) <= 0) break;
    std::printf("pairs %lu mixed %lu version %d tasks %d\n", pairs.load(), mixed.load(), Left(),
                tasks_of_version.load());
    std::fflush(stdout);
  }
  stopping.store(true);
  for (std::thread& thread : threads) thread.join();
  std::printf("mixed %lu\n", mixed.load());
  return mixed.load() == 0 ? 0 : 1;
}
