// Where the code under test meets the simulation. Its sources are compiled as they are, with three
// twists of the compiler's: ThreadSanitizer's instrumentation, whose callbacks for atomic
// operations are defined here (every one is a point of the scheduler), emulated thread-locals,
// which are looked up here (each fiber has its own), and a raw_syscall.h of the simulation's in
// front of the real one.
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/apart_thread.h"
#include "runtime/safepoint/runtime_thread.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/stack_switches.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/simulation/arena.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/scheduler.h"

// What stands for a call that does not block goes to the scheduler here.
#pragma clang diagnostic ignored "-Wfunction-effects"

using mend::simulation::Access;
using mend::simulation::Fiber;
using mend::simulation::Scheduler;

namespace {

void Point(Access access = {}) {
  if (Scheduler* const scheduler = Scheduler::Current(); scheduler != nullptr) {
    scheduler->Point(access);
  }
}

Access AccessOf(const volatile void* at, size_t size, bool writes) {
  return {.location = reinterpret_cast<uintptr_t>(at),
          .size = static_cast<uint32_t>(size),
          .writes = writes};
}

void NoteExchange(const volatile void* at, uint64_t before, uint64_t after) {
  if (Scheduler* const scheduler = Scheduler::Current(); scheduler != nullptr) {
    scheduler->NoteExchange(at, before, after);
  }
}

// The interrupts of a thread, which each of its steps looks at.
Access InterruptsOf(const mend::simulation::SimulatedThread* thread) {
  if (thread == nullptr) return {};
  return {.location = reinterpret_cast<uintptr_t>(thread->fiber), .size = 0, .writes = true};
}

void NotePollSet(const volatile void* byte) {
  if (Scheduler::Current() != nullptr) mend::simulation::SimulatedThread::NotePollSet(byte);
}

void* NewBlock(size_t size) {
  mend::simulation::Arena& arena = mend::simulation::Arena::Get();
  const bool in_history = arena.active() && (Scheduler::Current() != nullptr || arena.is_compact());
  void* const block = in_history ? arena.Allocate(size) : malloc(size == 0 ? 1 : size);
  if (block == nullptr) abort();
  return block;
}

void DeleteBlock(void* block) {
  if (!mend::simulation::Arena::Get().Free(block)) free(block);
}

}  // namespace

void* operator new(size_t size) { return NewBlock(size); }
void* operator new[](size_t size) { return NewBlock(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  const mend::simulation::World* const world = mend::simulation::CurrentWorld();
  const bool fails = world != nullptr && world->nothrow_new_fails_on != nullptr &&
                     world->nothrow_new_fails_on == Scheduler::Current()->running();
  return fails ? nullptr : NewBlock(size);
}
void operator delete(void* block) noexcept { DeleteBlock(block); }
void operator delete[](void* block) noexcept { DeleteBlock(block); }
void operator delete(void* block, size_t) noexcept { DeleteBlock(block); }
void operator delete[](void* block, size_t) noexcept { DeleteBlock(block); }

// --- atomic operations: a point, then the operation ---

extern "C" {

#define MEND_SIMULATED_ATOMICS(bits, type)                                                        \
  type __tsan_atomic##bits##_load(const volatile type* at, int) {                                 \
    Point(AccessOf(at, sizeof *at, false));                                                       \
    mend::simulation::Arena::Get().CheckUse(const_cast<type*>(at));                               \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                               \
  void __tsan_atomic##bits##_store(volatile type* at, type value, int) {                          \
    Point(AccessOf(at, sizeof *at, true));                                                        \
    mend::simulation::Arena::Get().CheckUse(const_cast<type*>(at));                               \
    if (bits == 8 && value == 1) NotePollSet(at);                                                 \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                \
  }                                                                                               \
  type __tsan_atomic##bits##_exchange(volatile type* at, type value, int) {                       \
    Point(AccessOf(at, sizeof *at, true));                                                        \
    mend::simulation::Arena::Get().CheckUse(const_cast<type*>(at));                               \
    const type before = __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                         \
    NoteExchange(at, before, value);                                                              \
    return before;                                                                                \
  }                                                                                               \
  type __tsan_atomic##bits##_fetch_add(volatile type* at, type value, int) {                      \
    Point(AccessOf(at, sizeof *at, true));                                                        \
    mend::simulation::Arena::Get().CheckUse(const_cast<type*>(at));                               \
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);                                       \
  }                                                                                               \
  type __tsan_atomic##bits##_fetch_sub(volatile type* at, type value, int) {                      \
    Point(AccessOf(at, sizeof *at, true));                                                        \
    mend::simulation::Arena::Get().CheckUse(const_cast<type*>(at));                               \
    return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);                                       \
  }                                                                                               \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* at, type* expected, type next, \
                                                    int, int) {                                   \
    Point(AccessOf(at, sizeof *at, true));                                                        \
    mend::simulation::Arena::Get().CheckUse(const_cast<type*>(at));                               \
    const bool done = __atomic_compare_exchange_n(at, expected, next, false, __ATOMIC_SEQ_CST,    \
                                                  __ATOMIC_SEQ_CST);                              \
    if (done) NoteExchange(at, *expected, next);                                                  \
    return done ? 1 : 0;                                                                          \
  }                                                                                               \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile type* at, type* expected, type next,   \
                                                  int success, int failure) {                     \
    return __tsan_atomic##bits##_compare_exchange_strong(at, expected, next, success, failure);   \
  }                                                                                               \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* at, type expected, type next,    \
                                                  int success, int failure) {                     \
    __tsan_atomic##bits##_compare_exchange_strong(at, &expected, next, success, failure);         \
    return expected;                                                                              \
  }

MEND_SIMULATED_ATOMICS(8, uint8_t)
MEND_SIMULATED_ATOMICS(16, uint16_t)
MEND_SIMULATED_ATOMICS(32, uint32_t)
MEND_SIMULATED_ATOMICS(64, uint64_t)

void __tsan_atomic_signal_fence(int) {}
void __tsan_atomic_thread_fence(int) {}

// --- plain accesses: is the memory still there? ---

#define MEND_SIMULATED_ACCESS(name) \
  void name(void* at) { mend::simulation::Arena::Get().CheckUse(at); }
MEND_SIMULATED_ACCESS(__tsan_read1)
MEND_SIMULATED_ACCESS(__tsan_read2)
MEND_SIMULATED_ACCESS(__tsan_read4)
MEND_SIMULATED_ACCESS(__tsan_read8)
MEND_SIMULATED_ACCESS(__tsan_read16)
MEND_SIMULATED_ACCESS(__tsan_write1)
MEND_SIMULATED_ACCESS(__tsan_write2)
MEND_SIMULATED_ACCESS(__tsan_write4)
MEND_SIMULATED_ACCESS(__tsan_write8)
MEND_SIMULATED_ACCESS(__tsan_write16)
MEND_SIMULATED_ACCESS(__tsan_unaligned_read2)
MEND_SIMULATED_ACCESS(__tsan_unaligned_read4)
MEND_SIMULATED_ACCESS(__tsan_unaligned_read8)
MEND_SIMULATED_ACCESS(__tsan_unaligned_read16)
MEND_SIMULATED_ACCESS(__tsan_unaligned_write2)
MEND_SIMULATED_ACCESS(__tsan_unaligned_write4)
MEND_SIMULATED_ACCESS(__tsan_unaligned_write8)
MEND_SIMULATED_ACCESS(__tsan_unaligned_write16)
MEND_SIMULATED_ACCESS(__tsan_vptr_read)

void __tsan_vptr_update(void*, void*) {}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void* __tsan_memcpy(void* to, const void* from, size_t size) { return memcpy(to, from, size); }
void* __tsan_memmove(void* to, const void* from, size_t size) { return memmove(to, from, size); }
void* __tsan_memset(void* to, int value, size_t size) { return memset(to, value, size); }

// --- thread-locals ---

struct EmulatedTls {
  size_t size;
  size_t alignment;
  void* unused;
  const void* initial;
};

void* __emutls_get_address(void* control) {
  static Fiber outside;
  Scheduler* const scheduler = Scheduler::Current();
  Fiber& fiber = scheduler == nullptr ? outside : *scheduler->running();
  for (const auto& [key, memory] : fiber.thread_locals) {
    if (key == control) return memory;
  }
  const auto& description = *static_cast<const EmulatedTls*>(control);
  mend::simulation::Arena& arena = mend::simulation::Arena::Get();
  void* const memory = scheduler != nullptr && arena.active()
                           ? arena.AllocateFor(fiber, description.size)
                           : ::operator new(description.size);
  memset(memory, 0, description.size);
  if (description.initial != nullptr) memcpy(memory, description.initial, description.size);
  fiber.thread_locals.emplace_back(control, memory);
  return memory;
}

// --- the C library, as far as the core uses it for threads ---

int pthread_getattr_np(pthread_t, pthread_attr_t* attributes) {
  pthread_attr_init(attributes);
  Scheduler* const scheduler = Scheduler::Current();
  if (scheduler == nullptr) return 0;
  const Fiber& fiber = *scheduler->running();
  return pthread_attr_setstack(attributes, fiber.stack_low,
                               static_cast<size_t>(fiber.stack_high - fiber.stack_low));
}

int pthread_setcancelstate(int state, int* before) {
  Scheduler* const scheduler = Scheduler::Current();
  if (scheduler == nullptr) return 0;
  const int was = std::exchange(scheduler->running()->cancel_state, state);
  if (before != nullptr) *before = was;
  return 0;
}

// Of an explored history only the order of events is kept: what was in the log would make different
// states of the same one.
void __real__ZN4mend8EventLog6AppendENS_5EventE(mend::EventLog* log, mend::Event* event);
void __wrap__ZN4mend8EventLog6AppendENS_5EventE(mend::EventLog* log, mend::Event* event) {
  mend::simulation::World* const world = mend::simulation::CurrentWorld();
  if (world != nullptr && world->explored) {
    world->NoteEvent(*event);
  } else {
    __real__ZN4mend8EventLog6AppendENS_5EventE(log, event);
  }
}

// The hosted program's text is not executed, so neither is its polls' slow path.
void __mend_poll_slow() { abort(); }

}  // extern "C"

namespace mend {

void CheckFailed(const char* message, const char* file, int line) noexcept {
  if (Scheduler::Current() == nullptr) abort();
  Scheduler::Current()->Violation("broken invariant: %s (%s:%d)", message, file, line);
}

void InitializePollStub() {}

int64_t MonotonicNs() {
  Scheduler* const scheduler = Scheduler::Current();
  if (scheduler == nullptr) return 0;
  if (scheduler->guided()) scheduler->Point({.location = Access::kClock});
  return scheduler->now_ns();
}

// Hosted code is acted out, and goes to no stack that nobody was told of.
const char* FindStackSwitch() { return nullptr; }

// Libc counts all threads: the mode is never entered.
constinit std::atomic<uint32_t> SingleThread::awake_{0};
constinit std::atomic<int> SingleThread::runtime_threads_{0};
constinit std::atomic<uint32_t> SingleThread::mode_{SingleThread::kOff};
constinit std::atomic<bool> SingleThread::awaited_{false};
void SingleThread::LeaveSlowPath() {}
bool SingleThread::Leave() { return false; }
void SingleThread::NoteSlowPath(const ThreadRecord&, uintptr_t) noexcept [[clang::nonblocking]] {}
void SingleThread::NoteInterruptedSlowPath(const ThreadRecord&, const RegisterContext&) noexcept
    [[clang::nonblocking]] {}

absl::Status StartRuntimeThread(const char* name, void* (*body)(void*), void* argument, pthread_t*,
                                size_t) {
  Fiber* const fiber = Scheduler::Current()->Spawn(name, [body, argument] {
    ThreadRegistry::Get().MarkRuntimeThread();
    body(argument);
  });
  fiber->wakes_any_time = true;
  return absl::OkStatus();
}

void FutexWait(std::atomic<uint32_t>* word, uint32_t value, int64_t timeout_ns) noexcept {
  Scheduler& scheduler = *Scheduler::Current();
  Access access = AccessOf(word, sizeof *word, false);
  if (scheduler.running()->owner != nullptr) access.changes = Access::kSleeps;
  scheduler.Point(access);
  if (__atomic_load_n(reinterpret_cast<uint32_t*>(word), __ATOMIC_SEQ_CST) != value) return;
  scheduler.Sleep(word, timeout_ns);
}

void FutexWake(std::atomic<uint32_t>* word, int waiters) noexcept [[clang::nonblocking]] {
  Access access = AccessOf(word, sizeof *word, true);
  access.changes = Access::kSleeps;
  Point(access);
  if (Scheduler* const scheduler = Scheduler::Current(); scheduler != nullptr) {
    scheduler->Wake(word, waiters);
  }
}

void YieldProcessor() noexcept [[clang::nonblocking]] { Scheduler::Current()->Yield(); }

// Of the program's signals there is one.
static long ChangeMask(int how, const uint64_t* set, uint64_t* before) {
  constexpr uint64_t kProgramSignal = uint64_t{1} << (SIGUSR1 - 1);
  Fiber& fiber = *Scheduler::Current()->running();
  if (before != nullptr) *before = fiber.blocks_signals ? kProgramSignal : 0;
  if (set == nullptr) return 0;
  const bool named = (*set & kProgramSignal) != 0;
  if (how == SIG_SETMASK || named) fiber.blocks_signals = how != SIG_UNBLOCK && named;
  if (simulation::SimulatedThread* const thread = simulation::SimulatedThread::Current()) {
    thread->NoteMask();
  }
  Point({.location = Access::kOwn});
  return 0;
}

long RawSyscall(long number, long a, long b, long c, long d, long, long) noexcept
    [[clang::nonblocking]] {
  using simulation::SimulatedThread;
  const int pid = simulation::CurrentWorld()->pid;
  switch (number) {
    case SYS_getpid:
      return pid;
    case SYS_gettid:
      return SimulatedThread::Current() == nullptr ? pid + Scheduler::Current()->running()->id
                                                   : SimulatedThread::Current()->tid;
    case SYS_sched_yield:
      YieldProcessor();
      return 0;
    case SYS_rt_sigprocmask:
      return ChangeMask(static_cast<int>(a), reinterpret_cast<const uint64_t*>(b),
                        reinterpret_cast<uint64_t*>(c));
    case SYS_tgkill:
      return SimulatedThread::Find(static_cast<int>(b)) != nullptr ? 0 : -ESRCH;
    case SYS_process_vm_readv: {
      const auto& to = *reinterpret_cast<const iovec*>(b);
      const auto& from = *reinterpret_cast<const iovec*>(d);
      memcpy(to.iov_base, from.iov_base, from.iov_len);
      return static_cast<long>(from.iov_len);
    }
    case SYS_rt_tgsigqueueinfo:
      Point(InterruptsOf(SimulatedThread::Find(static_cast<int>(b))));
      return SimulatedThread::Queue(static_cast<int>(b), *reinterpret_cast<const siginfo_t*>(d))
                 ? 0
                 : -ESRCH;
    default:
      Scheduler::Current()->Violation("system call %ld is not simulated (%ld)", number, a);
  }
}

// --- what the system says of its threads ---

void StartApartThread() {}

std::vector<pid_t> SystemThreads() {
  Point();
  std::vector<pid_t> tids;
  for (const auto& thread : simulation::CurrentWorld()->threads) {
    if (thread->fiber != nullptr && !thread->done) tids.push_back(thread->tid);
  }
  return tids;
}

bool ThreadBlocksSignal(pid_t tid, int) {
  Point();
  return simulation::SimulatedThread::Find(tid) == nullptr;
}

bool ThreadSleeps(pid_t tid) {
  const auto* const thread = simulation::SimulatedThread::Find(tid);
  if (Scheduler::Current()->guided()) Point({.location = Access::kSleeps});
  return thread != nullptr && thread->fiber->sleeps_on != nullptr;
}

std::string ThreadName(pid_t) { return "thread"; }

StackBounds MappingAround(uintptr_t address) {
  Point();
  const auto* const thread = simulation::SimulatedThread::OfStack(address);
  if (thread == nullptr) return {};
  return {.low = thread->stack_low, .high = thread->stack_high};
}

}  // namespace mend
