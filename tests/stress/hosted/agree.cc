// The program that the hosted stress test patches: threads of every kind call, inside functions
// that are replaced or held, pairs of functions whose versions must agree. Each unit that saw two
// versions counts as a mix; the driver (hosted_stress_test.cc) reads the count at the end.
//
// A source patch is one changed line: kVersion. `Left` and `Right` return it, so both are replaced;
// the functions named Changing... contain it, so they are replaced too; the functions named Held...
// do not, and are held by the patch (or, in the control run, are not).
//
// The threads are many more than the processors, so most of them sleep most of the time, in every
// way: inside a unit (then they are blocked, and hold the patch back until they wake), or between
// two. Two threads never rest. And contexts (makecontext) are left in the middle of units, and go
// on in other threads.
//
// With AGREE_WITHOUT_FIBERS in the environment there are no contexts, with AGREE_WITHOUT_FORKS no
// forks.
//
// Protocol: agree SCALE PLUGIN. Prints "ready"; answers "force" and "forced" with the same word,
// and what runs in between may mix; at the end of its input prints "units N mixes M failures F".
#include "agree.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
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

#include "agree_waits.h"

constexpr int kVersion = 0;

std::atomic<unsigned> forces{0};

namespace {

std::atomic<bool> stopping{false};
std::atomic<unsigned long> units{0};
std::atomic<unsigned long> mixes{0};
std::atomic<unsigned long> failures{0};  // of what the program itself tries

void Fail(const char* what, int detail) {
  if (failures.fetch_add(1, std::memory_order_relaxed) < 10) {
    std::fprintf(stderr, "%s failed: %d\n", what, detail);
  }
}

}  // namespace

__attribute__((noinline)) void Agree(const Unit& unit, int version, const char* where) {
  units.fetch_add(1, std::memory_order_relaxed);
  if (unit.version == version) return;
  if (unit.forces_before % 2 != 0 || unit.forces_before != forces.load()) return;
  if (mixes.fetch_add(1, std::memory_order_relaxed) < 10) {
    std::fprintf(stderr, "mix in %s: %d then %d\n", where, unit.version, version);
  }
}

// Out of line and opaque, so that each call passes the entry.
__attribute__((noinline)) int Left() {
  __asm__ volatile("");
  return kVersion;
}
__attribute__((noinline)) int Right() {
  __asm__ volatile("");
  return kVersion;
}

// --- units that run ---

__attribute__((noinline)) void HeldLoop() {
  const Unit unit = BeginUnit();
  Spin(200);
  EndUnit(unit, "HeldLoop");
}

__attribute__((noinline)) void HeldRecursion(int depth, const Unit* unit) {
  if (depth == 0) {
    EndUnit(*unit, "HeldRecursion");
    return;
  }
  const Unit begun = unit == nullptr ? BeginUnit() : *unit;
  HeldRecursion(depth - 1, &begun);
  Spin(3);  // keeps the call above from becoming a jump
}

__attribute__((noinline)) void HeldCallback() {
  const Unit unit = BeginUnit();
  Spin(20);
  EndUnit(unit, "HeldCallback");
}

// Contains the version itself: replaced, not held.
__attribute__((noinline)) void ChangingUnit() {
  const Unit unit = {kVersion, forces.load()};
  Spin(50);
  Agree(unit, Left(), "ChangingUnit");
  const timespec pause = {0, 50'000};
  nanosleep(&pause, nullptr);
  EndUnit(unit, "ChangingUnit");
}

// --- units below functions of libc and libstdc++ ---

int CompareAndCheck(const void* a, const void* b) {
  EndUnit(BeginUnit(), "a comparison within a held function");
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

namespace {

constexpr int kValues = 24;
struct Values {
  int value[kValues];
  Values() {
    for (int i = 0; i < kValues; ++i) value[i] = (i * 7) % kValues;
  }
};

int CompareAndThrow(const void* a, const void* b) {
  if (*static_cast<const int*>(a) == 5) throw std::runtime_error("five");
  return CompareAndCheck(a, b);
}

}  // namespace

__attribute__((noinline)) void HeldSort() {
  const Unit unit = BeginUnit();
  Values values;
  qsort(values.value, kValues, sizeof(int), CompareAndCheck);
  EndUnit(unit, "HeldSort");
}

__attribute__((noinline)) void HeldStandardSort() {
  const Unit unit = BeginUnit();
  Values values;
  std::sort(values.value, values.value + kValues,
            [](int a, int b) { return CompareAndCheck(&a, &b) < 0; });
  EndUnit(unit, "HeldStandardSort");
}

__attribute__((noinline)) void HeldSearch() {
  const Unit unit = BeginUnit();
  static constexpr int kSorted[] = {1, 2, 3, 5, 8, 13, 21, 34};
  const int wanted = 13;
  if (bsearch(&wanted, kSorted, 8, sizeof(int), CompareAndCheck) == nullptr) Fail("bsearch", 13);
  EndUnit(unit, "HeldSearch");
}

void HeldOnceRoutine() {
  const Unit unit = BeginUnit();
  Spin(100);
  EndUnit(unit, "HeldOnceRoutine");
}

__attribute__((noinline)) void HeldOnce() {
  const Unit unit = BeginUnit();
  pthread_once_t control = PTHREAD_ONCE_INIT;
  pthread_once(&control, HeldOnceRoutine);
  std::once_flag flag;
  std::call_once(flag, HeldOnceRoutine);
  EndUnit(unit, "HeldOnce");
}

__attribute__((noinline)) void ThrowDeep(int depth) {
  const std::string frame_with_a_destructor(static_cast<size_t>(depth) + 20, 'x');
  if (depth == 0) throw std::runtime_error(frame_with_a_destructor);
  ThrowDeep(depth - 1);
}

__attribute__((noinline)) void HeldThrow() {
  const Unit unit = BeginUnit();
  try {
    ThrowDeep(40);
  } catch (const std::exception&) {
    EndUnit(unit, "HeldThrow");
  }
}

__attribute__((noinline)) void HeldThrowThroughSort() {
  const Unit unit = BeginUnit();
  Values values;
  try {
    qsort(values.value, kValues, sizeof(int), CompareAndThrow);
    Fail("an exception through qsort", 0);
  } catch (const std::exception&) {
    EndUnit(unit, "HeldThrowThroughSort");
  }
}

// --- units that block ---

std::mutex wait_mutex;
std::condition_variable wait_condition;

// Blocks inside libstdc++.
__attribute__((noinline)) void HeldCondition() {
  const Unit unit = BeginUnit();
  {
    std::unique_lock<std::mutex> lock(wait_mutex);
    wait_condition.wait_for(lock, std::chrono::microseconds(300));
  }
  EndUnit(unit, "HeldCondition");
}

std::mutex contended;

__attribute__((noinline)) void HeldLock() {
  const Unit unit = BeginUnit();
  {
    const std::lock_guard<std::mutex> lock(contended);
    Spin(2000);
  }
  EndUnit(unit, "HeldLock");
}

// Blocks in one of the ways of agree_waits.h.
__attribute__((noinline)) void HeldWait(void (*wait)()) {
  const Unit unit = BeginUnit();
  wait();
  EndUnit(unit, "HeldWait");
}

// --- units that go from thread to thread ---

// A context that is left in the middle of each unit, for whichever worker takes it next.
struct Fiber {
  ucontext_t self;
  ucontext_t* worker = nullptr;  // who runs it now
  bool done = false;
  std::vector<char> stack = std::vector<char>(64 * 1024);
};

__attribute__((noinline)) void HeldYield(Fiber* fiber, bool deep) {
  const Unit unit = BeginUnit();
  if (deep) HeldRecursion(20, nullptr);
  swapcontext(&fiber->self, fiber->worker);
  EndUnit(unit, "HeldYield");
}

namespace {

std::mutex fibers_mutex;
std::vector<Fiber*> idle_fibers;

// On the fiber's own stack.
void RunFiber(unsigned high, unsigned low) {
  auto* const fiber = reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | low);
  for (unsigned turn = 0; !stopping.load(std::memory_order_relaxed); ++turn) {
    HeldYield(fiber, turn % 2 == 0);
    if (turn % 8 == 0) HeldThrow();
    // Between two units, too.
    if (turn % 3 == 0) swapcontext(&fiber->self, fiber->worker);
  }
  fiber->done = true;
  setcontext(fiber->worker);
}

void StartFiber(Fiber* fiber) {
  getcontext(&fiber->self);
  fiber->self.uc_stack.ss_sp = fiber->stack.data();
  fiber->self.uc_stack.ss_size = fiber->stack.size();
  fiber->self.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(fiber);
  makecontext(&fiber->self, reinterpret_cast<void (*)()>(&RunFiber), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
  idle_fibers.push_back(fiber);
}

// Runs the fiber that has waited longest, up to its next swap. False: there is none.
bool RunAnyFiber() {
  ucontext_t here;
  Fiber* fiber = nullptr;
  {
    const std::lock_guard<std::mutex> lock(fibers_mutex);
    if (idle_fibers.empty()) return false;
    fiber = idle_fibers.front();
    idle_fibers.erase(idle_fibers.begin());
  }
  fiber->worker = &here;
  swapcontext(&here, &fiber->self);
  const std::lock_guard<std::mutex> lock(fibers_mutex);
  if (fiber->done) {
    delete fiber;
  } else {
    idle_fibers.push_back(fiber);
  }
  return true;
}

}  // namespace

// Leaves its own stack in the middle of a unit.
__attribute__((noinline)) void HeldFiber() {
  const Unit unit = BeginUnit();
  RunAnyFiber();
  EndUnit(unit, "HeldFiber");
}

// --- units that make threads and processes ---

__attribute__((noinline)) void HeldSpawn() {
  const Unit unit = BeginUnit();
  std::thread child([] { HeldLoop(); });
  child.join();
  EndUnit(unit, "HeldSpawn");
}

// Waits for a shared state inside libstdc++. The other thread's calls are units of their own.
__attribute__((noinline)) void HeldFuture() {
  const Unit unit = BeginUnit();
  std::future<void> done = std::async(std::launch::async, [] {
    SleepFor();
    HeldLoop();
  });
  done.get();
  EndUnit(unit, "HeldFuture");
}

// The unit of a thread that is cancelled ends while its stack is unwound.
void* HeldCancelled(void*) {
  struct EndsUnit {
    Unit unit;
    ~EndsUnit() { EndUnit(unit, "HeldCancelled"); }
  } const ends = {BeginUnit()};
  for (;;) pause();
}

__attribute__((noinline)) void HeldCancel() {
  const Unit unit = BeginUnit();
  pthread_t victim;
  if (const int error = pthread_create(&victim, nullptr, HeldCancelled, nullptr); error != 0) {
    Fail("pthread_create", error);
    return;
  }
  nanosleep(&kShort, nullptr);
  pthread_cancel(victim);
  void* result = nullptr;
  pthread_join(victim, &result);
  if (result != PTHREAD_CANCELED) Fail("pthread_cancel", 0);
  EndUnit(unit, "HeldCancel");
}

// A child that hangs must not go unseen, and says where.
void StopAtAlarm(int) { abort(); }

void HeldAtExit() {
  const Unit unit = BeginUnit();
  SleepFor();
  EndUnit(unit, "HeldAtExit");
}

// The rest of the unit that a child was forked in. It carries on alone, whatever transition it was
// in; every other one runs the exit handler below, but none calls exit: glibc's lock of the exit
// functions is held in a child for good if another thread (dlclose, a guest module that goes) held
// it when that was forked, natively too, and such a child hangs there.
__attribute__((noinline)) void HeldChild(const Unit& unit, unsigned turn) {
  const unsigned long mixes_before = mixes.load();
  signal(SIGALRM, StopAtAlarm);
  alarm(60);
  for (int i = 0; i < 20; ++i) HeldLoop();
  HeldThrow();
  HeldWait(SleepFor);
  EndUnit(unit, "a forked child");
  const int code = mixes.load() == mixes_before ? 0 : 1;
  if (turn % 2 == 0) HeldAtExit();
  _exit(code);
}

__attribute__((noinline)) pid_t HeldFork() {
  static std::atomic<unsigned> turn{0};
  const unsigned this_turn = turn.fetch_add(1);
  const Unit unit = BeginUnit();
  const pid_t child = fork();
  if (child == 0) HeldChild(unit, this_turn);
  if (child < 0) Fail("fork", errno);
  EndUnit(unit, "HeldFork");
  return child;
}

// Interrupts whatever the thread is doing, a blocked region too, and may sleep.
__attribute__((noinline)) void HeldHandler(int) {
  const int saved_errno = errno;
  const Unit unit = BeginUnit();
  static std::atomic<unsigned> turn{0};
  if (turn.fetch_add(1, std::memory_order_relaxed) % 2 == 0) {
    const timespec pause = {0, 200'000};
    nanosleep(&pause, nullptr);
  } else {
    Spin(20);
  }
  EndUnit(unit, "HeldHandler");
  errno = saved_errno;
}

namespace {

// SIGUSR1 is handled on the thread's own stack, SIGUSR2 on its alternate one.
void InstallHandlers() {
  struct sigaction action = {};
  action.sa_handler = HeldHandler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  action.sa_flags |= SA_ONSTACK;
  sigaction(SIGUSR2, &action, nullptr);
}

// Between two units a thread is in none, and asleep: it can be switched there.
void Rest() {
  const timespec pause = {0, 5'000'000};
  nanosleep(&pause, nullptr);
}

void ForkAndWait() {
  const pid_t child = HeldFork();
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) != child) Fail("waitpid", errno);
  if (status != 0) Fail("a forked child", status);
  for (int i = 0; i < 10; ++i) Rest();
}

using PluginUnit = int (*)();

// The guest module comes, is used and goes. A patch may refuse it.
void LivePlugin(const char* path) {
  void* const handle = dlopen(path, RTLD_NOW);
  if (handle == nullptr) {
    const char* const why = dlerror();
    if (why == nullptr || strstr(why, "EBUSY") == nullptr) Fail(why == nullptr ? "dlopen" : why, 0);
    return;
  }
  const auto unit = reinterpret_cast<PluginUnit>(dlsym(handle, "HeldPlugin"));
  if (unit == nullptr) Fail("dlsym", 0);
  for (int i = 0; unit != nullptr && i < 20; ++i) {
    if (unit() != 1) Fail("HeldPlugin", i);
    Rest();
  }
  if (dlclose(handle) != 0) Fail("dlclose", 0);
}

class Threads {
 public:
  // Signalled threads must all exist before the first signal.
  template <typename Step>
  void Repeat(int count, Step step) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([step] {
        std::vector<char> memory(64 * 1024);
        const stack_t alternate = {memory.data(), 0, memory.size()};
        sigaltstack(&alternate, nullptr);
        while (!stopping.load(std::memory_order_relaxed)) step();
        const stack_t none = {nullptr, SS_DISABLE, 0};
        sigaltstack(&none, nullptr);
      });
    }
  }

  // A unit and a rest, again and again.
  template <typename Step>
  void RepeatResting(int count, Step unit) {
    Repeat(count, [unit] {
      unit();
      Rest();
    });
  }

  // Feeds the readers, and signals one thread after the other.
  void TickUntilStopped() {
    for (size_t next = 0; !stopping.load(std::memory_order_relaxed); ++next) {
      FeedReaders();
      pthread_kill(threads_[next / 2 % threads_.size()].native_handle(),
                   next % 2 == 0 ? SIGUSR1 : SIGUSR2);
      usleep(700);
    }
    StopFeedingReaders();
  }

  void Join() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::vector<std::thread> threads_;
};

// In units nearly all the time, and runnable.
void Restless() {
  HeldLoop();
  HeldSort();
  HeldRecursion(40, nullptr);
}

bool Prepare() {
  if (!PrepareWaits()) return false;
  InstallHandlers();
  return atexit(HeldAtExit) == 0;
}

void Start(Threads* threads, int scale, const char* plugin) {
  threads->Repeat(2, Restless);
  threads->RepeatResting(scale, HeldLoop);
  threads->RepeatResting(scale, [] { HeldRecursion(40, nullptr); });
  for (void (*unit)() : {HeldCondition, HeldSort, HeldStandardSort, HeldSearch, HeldOnce, HeldThrow,
                         HeldThrowThroughSort, HeldSpawn, HeldFuture, HeldCancel, ChangingUnit}) {
    threads->RepeatResting(scale, unit);
  }
  threads->RepeatResting(2 * scale, HeldLock);
  for (void (*wait)() : waits) threads->RepeatResting(scale, [wait] { HeldWait(wait); });
  const bool has_fibers = getenv("AGREE_WITHOUT_FIBERS") == nullptr;
  for (int i = 0; has_fibers && i < 4 * scale; ++i) StartFiber(new Fiber);
  threads->RepeatResting(scale, HeldFiber);
  threads->RepeatResting(scale, RunAnyFiber);
  if (getenv("AGREE_WITHOUT_FORKS") == nullptr) threads->RepeatResting(1, ForkAndWait);
  threads->RepeatResting(2, [plugin] { LivePlugin(plugin); });
}

// Until the input ends.
void Answer() {
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    if (strcmp(line, "force\n") == 0 || strcmp(line, "forced\n") == 0) forces.fetch_add(1);
    std::fputs(line, stdout);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || !Prepare()) return 1;
  Threads threads;
  Start(&threads, std::atoi(argv[1]), argv[2]);
  std::thread ticker([&threads] { threads.TickUntilStopped(); });
  std::puts("ready");
  std::fflush(stdout);
  Answer();
  stopping = true;
  ticker.join();  // first: it names the others
  threads.Join();
  while (RunAnyFiber()) {
  }
  std::printf("units %lu mixes %lu failures %lu\n", units.load(), mixes.load(), failures.load());
  return 0;
}
