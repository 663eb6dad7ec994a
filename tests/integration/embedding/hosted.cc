// What the runtimes of host.cc host. Each has its own `state`, each thread its own `calls`.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>

namespace {

struct AtEnd {
  ~AtEnd() { std::printf("destroyed\n"); }
} at_end;

thread_local int calls = 100;
int state = 0;

__attribute__((noinline)) int Add(int amount) {
  if (amount == 0) throw std::runtime_error("nothing to add");
  return state += amount;
}

}  // namespace

extern "C" __attribute__((noinline)) int scale(int value) { return value * 10; }

// 10, 20, ... with an exception and a thread of its own on the way.
extern "C" int step(int amount) {
  int in_thread = 0;
  std::thread([&] { in_thread = ++calls; }).join();
  if (in_thread != 101) return -1;
  calls++;
  try {
    return scale(Add(amount));
  } catch (const std::runtime_error&) {
    return scale(state) + 1;
  }
}

// Takes what can only be moved.
extern "C" int own(std::unique_ptr<int> value) { return *value; }

extern "C" int per_thread(int) { return calls; }

// Returns 1 to each of the callers, once there are so many of them in here.
static int here = 0;
extern "C" int meet(int callers) {
  __atomic_add_fetch(&here, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&here, __ATOMIC_SEQ_CST) < callers) std::this_thread::yield();
  return calls == 100 ? scale(1) / 10 : 1000;
}
