// What hosted code does as often as native code: costs; then a line with one of
//   throw    an exception thrown ten frames deep and caught: nanoseconds
//   local    a call that increments a thread-local: nanoseconds
//   static   the same call with a static variable: nanoseconds
//   thread   a thread created and joined: nanoseconds
// is answered with the least of some measurements.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

// Not static: the compiler may drop what nobody reads.
thread_local long local = 0;
long global = 0;

namespace {

using Clock = std::chrono::steady_clock;

__attribute__((noinline)) int Throw(int depth) {
  if (depth == 0) throw depth;
  return Throw(depth - 1) + 1;
}

__attribute__((noinline)) int Catch() {
  try {
    return Throw(10);
  } catch (int thrown) {
    return thrown;
  }
}

__attribute__((noinline)) void IncrementLocal() { ++local; }
__attribute__((noinline)) void IncrementGlobal() { ++global; }

template <typename Work>
double Measure(int count, const Work& work) {
  double least = 1e18;
  for (int round = 0; round < 7; ++round) {
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < count; ++i) work();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    least = std::min(least, took.count() / count);
  }
  return least;
}

}  // namespace

int main() {
  char line[32];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    double answer = 0;
    if (std::strcmp(line, "throw\n") == 0) {
      answer = Measure(2000, [] { Catch(); });
    } else if (std::strcmp(line, "local\n") == 0) {
      answer = Measure(5000000, [] { IncrementLocal(); });
    } else if (std::strcmp(line, "static\n") == 0) {
      answer = Measure(5000000, [] { IncrementGlobal(); });
    } else if (std::strcmp(line, "thread\n") == 0) {
      answer = Measure(200, [] { std::thread([] {}).join(); });
    }
    std::printf("%.3f\n", answer);
    std::fflush(stdout);
  }
  return 0;
}
