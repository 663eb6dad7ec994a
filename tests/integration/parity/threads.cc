// Threads, thread-locals with initial values, constructors and destructors, call_once, timeouts.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

struct Counted {
  Counted() : value(100) {}
  ~Counted() {
    if (value != 100) std::printf("destroyed %d\n", value);
  }
  int value;
};

thread_local int plain = 7;
static thread_local long zeroed;
thread_local Counted constructed;
std::mutex mutex;
std::condition_variable condition;
int turn = 0;
std::once_flag once;

void Take(int number) {
  std::unique_lock<std::mutex> lock(mutex);
  condition.wait(lock, [number] { return turn == number; });
  std::call_once(once, [] { std::puts("once"); });
  plain += number;
  zeroed += number;
  constructed.value += number;
  std::printf("thread %d: %d %ld %d\n", number, plain, zeroed, constructed.value);
}

int main() {
  std::vector<std::thread> threads;
  for (int i = 1; i <= 8; ++i) {
    threads.emplace_back([i] { Take(i); });
  }
  for (std::thread& thread : threads) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      ++turn;
    }
    condition.notify_all();
    thread.join();
  }
  std::printf("main: %d %ld %d\n", plain, zeroed, constructed.value);
  std::unique_lock<std::mutex> lock(mutex);
  const auto timed_out =
      condition.wait_for(lock, std::chrono::milliseconds(5)) == std::cv_status::timeout;
  std::printf("timed out: %d\n", timed_out);
}
