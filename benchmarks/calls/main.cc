// What a call costs, in every manner of calling. Answers each line (a manner) with the nanoseconds
// of one call: the least of many short batches, which a busy machine disturbs least. "stand" has
// another thread hold up transitions until "go on".
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>

#include "calls.h"

namespace {

constexpr int kBatch = 20000;
constexpr int kBatches = 400;
constexpr int kManyBatches = 60;

double Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

long sink;

template <typename Call>
double Least(int batches, long calls, Call batch) {
  double least = 1e18;
  for (int i = 0; i < batches; ++i) {
    const double begin = Now();
    sink = batch(sink);
    const double per_call = (Now() - begin) / static_cast<double>(calls);
    if (per_call < least) least = per_call;
  }
  return least;
}

double Measure(const char* manner) {
  if (strcmp(manner, "direct") == 0) {
    return Least(kBatches, kBatch, [](long x) {
      for (int i = 0; i < kBatch; ++i) x = callee(x);
      return x;
    });
  }
  if (strcmp(manner, "virtual") == 0) {
    Counter* const counter = make_counter();
    return Least(kBatches, kBatch, [counter](long x) {
      for (int i = 0; i < kBatch; ++i) x = counter->next(x);
      return x;
    });
  }
  if (strcmp(manner, "std::function") == 0) {
    const std::function<long(long)> function = callee;
    return Least(kBatches, kBatch, [&function](long x) {
      for (int i = 0; i < kBatch; ++i) x = function(x);
      return x;
    });
  }
  return Least(kManyBatches, kManyCallees, call_many);
}

}  // namespace

int main() {
  char line[64];
  int ends[2];
  std::thread standing;
  if (pipe(ends) != 0) return 1;
  while (fgets(line, sizeof line, stdin) != nullptr) {
    line[strcspn(line, "\n")] = 0;
    double answer = 0;
    if (strcmp(line, "stand") == 0) {
      standing = std::thread(stand, ends[0]);
      usleep(20000);  // until it waits; whoever asks sees whether the transition is held up
    } else if (strcmp(line, "go on") == 0) {
      if (write(ends[1], "", 1) != 1) return 1;
      standing.join();
    } else {
      answer = Measure(line);
    }
    printf("%.4f\n", answer);
    fflush(stdout);
  }
  return 0;
}
