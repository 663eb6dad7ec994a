#include "tests/runtime/safepoint/walk_scenarios.h"

#include <alloca.h>
#include <fnmatch.h>
#include <pthread.h>
#include <setjmp.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>

namespace mend::scenarios {
namespace {

volatile int seed = 7;

[[gnu::noinline]] int Add(int a, int b) { return a + b + seed; }

[[gnu::noinline]] int SumVarargs(int count, ...) {
  va_list arguments;
  va_start(arguments, count);
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += va_arg(arguments, double);
  va_end(arguments);
  return static_cast<int>(sum) + Add(count, 1);
}

[[gnu::noinline]] int WithAlloca(int size) {
  auto* buffer = static_cast<char*>(alloca(static_cast<size_t>(size)));
  memset(buffer, size, static_cast<size_t>(size));
  const int sum = Add(buffer[0], buffer[size - 1]);
  return sum + buffer[size / 2];
}

struct alignas(64) Wide {
  int64_t lanes[8];
};

[[gnu::noinline]] void Fill(Wide* wide, int value) {
  for (int64_t& lane : wide->lanes) lane = value + seed;
}

[[gnu::noinline]] int WithOverAligned(int value) {
  Wide wide;
  Fill(&wide, value);
  auto* more = static_cast<char*>(alloca(static_cast<size_t>(16 + value)));
  memset(more, 1, 16);
  return static_cast<int>(wide.lanes[3]) + Add(more[3], value);
}

[[gnu::noinline]] int TailTarget(int a, int b, int c) { return Add(a, Add(b, c)); }

[[gnu::noinline]] int Tail(int a, int b) { [[clang::musttail]] return Add(b, Add(a, b)); }

[[gnu::noinline]] int Shrink(int n) {
  if (n > 0) return n;
  int a = Add(n, 1), b = Add(n, 2), c = Add(a, b), d = Add(b, c);
  return TailTarget(a + d, b, c) + d;
}

[[gnu::noinline]] int Fibonacci(int n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }

[[gnu::noinline]] int Nine(int a, int b, int c, int d, int e, int f, int g, int h, int i) {
  return Add(a + b * c, d + e) + Add(f * g, h - i);
}

int Compare(const void* left, const void* right) {
  return Add(*static_cast<const int*>(left), 0) - Add(*static_cast<const int*>(right), 0);
}

int once_runs;
void RunOnce() { once_runs += Add(1, 2); }

[[gnu::noinline]] int Invoke(const std::function<int(int)>& function, int value) {
  return function(value) + Add(1, 1);
}

struct Guard {
  int* count;
  ~Guard() { *count += Add(1, 1); }
};

[[gnu::noinline]] int Throw(int depth, int* cleaned) {
  const Guard guard{cleaned};
  if (depth == 0) throw std::runtime_error("thrown by the scenario");
  return Throw(depth - 1, cleaned) + Add(depth, 1);
}

[[gnu::noinline]] void Jump(jmp_buf* buffer, int depth) {
  if (depth == 0) longjmp(*buffer, Add(1, 1));
  Jump(buffer, depth - 1);
  seed = seed + 0;
}

}  // namespace

int Leaf() { return Add(1, 2); }
int Alloca() { return WithAlloca(40 + seed) + WithAlloca(4000); }
int OverAligned() { return WithOverAligned(seed) + WithOverAligned(100); }
int Varargs() { return SumVarargs(9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0); }
int TailCall() { return Tail(seed, 3) + TailTarget(1, 2, 3); }
int ShrinkWrapped() { return Shrink(seed) + Shrink(-seed); }
int Recursion() { return Fibonacci(6); }
int ManyArguments() { return Nine(seed, 2, 3, 4, 5, 6, 7, 8, 9); }

int QsortCallback() {
  int values[] = {5, seed, 3, 9, 1, 8, 2};
  qsort(values, 7, sizeof(int), Compare);
  return values[0] + values[6];
}

int PthreadOnce() {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, RunOnce);
  pthread_once(&once, RunOnce);
  return once_runs;
}

int StdFunction() {
  const int captured = seed;
  const std::function<int(int)> inner = [captured](int value) { return Add(captured, value); };
  const std::function<int(int)> outer = [&inner](int value) { return Invoke(inner, value); };
  return Invoke(outer, 3);
}

int Vdso() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec > 0 ? Add(1, static_cast<int>(now.tv_nsec & 1)) : 0;
}

// fnmatch is used nowhere else: its first call goes through the lazy resolver.
int LazyBinding() { return fnmatch("a*b", "axxb", 0) + fnmatch("a*b", "axx", 0) + Add(1, 1); }

int Allocation() {
  char buffer[80];
  void* volatile memory = malloc(static_cast<size_t>(100 + seed));
  const int length = snprintf(buffer, sizeof(buffer), "%d %5.2f %s %p", seed, 2.5, "text", memory);
  free(memory);
  return length;
}

int Exceptions() {
  int cleaned = 0;
  try {
    cleaned += Throw(3, &cleaned);
  } catch (const std::exception& error) {
    cleaned += static_cast<int>(strlen(error.what()));
  }
  return cleaned;
}

int Longjmp() {
  jmp_buf buffer;
  const int value = setjmp(buffer);
  if (value == 0) Jump(&buffer, 4);
  return value;
}

}  // namespace mend::scenarios
