// pthread_create and thrd_create: a thread of the program is in the registry from before its first
// hosted frame until after its last destructor.
#include "jit/guest_libc/program_threads.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/exec.h"
#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/signal_mask.h"
#include "jit/guest_libc/stack_size.h"
#include "runtime/base/check.h"
#include "runtime/base/own_allocations.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/runtime_thread_call.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::jit {
namespace {

using Routine = void* (*)(void*);

// Handed from the creator to the new thread.
struct ThreadStart {
  Routine routine;
  void* argument;
  ThreadRecord* record;
  KernelSignalSet mask;
  size_t stack_size;
};

// Set once, before there are other threads.
void (*thread_start_hook)() = nullptr;
void (*thread_end_hook)() = nullptr;

// Threads of the program that have not ended; zero in a process whose program has no main thread
// here (an embedding host).
constinit std::atomic<int> live_threads{0};

pthread_key_t end_key;

// Whether a thread has ended past libc, which goes on counting it: no other is libc's last then.
constinit std::atomic<bool> some_left_by_call{false};

// Whether the caller is the last of the program's threads, and counts no more.
// Relaxed: nothing is published through the count.
bool CountsOutAsLast() {
  return live_threads.load(std::memory_order_relaxed) != 0 &&
         live_threads.fetch_sub(1, std::memory_order_relaxed) == 1;
}

// Relaxed: set by the program's thread before libc's is there.
constinit std::atomic<bool> libc_starts_threads{false};

// Whether libc has threads of its own (SIGEV_THREAD, requests in the background). They let no
// signal in, not even the safepoints', which a program's thread cannot keep out.
bool LibcHasThreads() {
  const OwnAllocations own;
  const auto self = static_cast<pid_t>(RawSyscall(SYS_gettid));
  const std::vector<pid_t> threads = SystemThreads();
  return std::any_of(threads.begin(), threads.end(), [self](pid_t tid) {
    return tid != self && !IsInRuntimePlace(tid) && ThreadBlocksSignal(tid, kHiddenSignal);
  });
}

// By the last of the program's threads, which would be gone natively: waits until it would be the
// process's last one, too. What they run may end the process before.
void AwaitLibcsThreads() {
  if (!libc_starts_threads.load(std::memory_order_relaxed)) return;
  const Uninterrupted uninterrupted;
  const BlockedRegion region("mend: waiting for threads of libc's");
  constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 20'000'000};
  while (LibcHasThreads()) RawSyscall(SYS_nanosleep, reinterpret_cast<long>(&kPause), 0);
}

// The end_key's destructor. libc calls destructors in rounds, as long as there are values, and in
// each round in the order of the keys; the registry must lose the thread after everybody else's
// destructors, so it asks for another round until the last, and has a late key.
void EndProgramThread(void* value) {
  const auto round = reinterpret_cast<uintptr_t>(value);
  if (round < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific(end_key, reinterpret_cast<void*>(round + 1));
    return;
  }
  // libc ends the process with its last thread, but it counts the runtime's threads too. Exit
  // handlers are hosted code: the thread stays registered for them.
  if (CountsOutAsLast()) {
    if (some_left_by_call.load(std::memory_order_relaxed)) RawSyscall(SYS_exit_group, 0);
    AwaitLibcsThreads();
    exit(0);
  }
  // Handlers are hosted code: for good, since the thread does not count any more.
  Uninterrupted::Begin();
  ThreadRegistry::Get().EndThread();
}

// The last of the keys for which a thread needs no memory (libc's first block of them). Programs
// that have more than the 31 before it see the later ones' last round behind the thread's end.
constexpr pthread_key_t kLatestCheapKey = 31;

[[gnu::constructor(101)]] void CreateEndKey() {
  pthread_key_t passed[kLatestCheapKey + 1];
  size_t count = 0;
  for (;;) {
    MEND_CHECK(pthread_key_create(&end_key, &EndProgramThread) == 0,
               "no thread key is left for the runtime");
    if (end_key >= kLatestCheapKey) break;
    passed[count++] = end_key;
  }
  while (count > 0) pthread_key_delete(passed[--count]);
}

void ArmThreadEnd() { pthread_setspecific(end_key, reinterpret_cast<void*>(uintptr_t{1})); }

void* RunProgramThread(void* argument) {
  auto* handed_over = static_cast<ThreadStart*>(argument);
  const ThreadStart start = *handed_over;
  free(handed_over);
  {
    // A malloc of the program's may have thread-locals, which get their values here.
    const OwnAllocations own;
    ThreadRegistry::Get().BeginThread(start.record, start.stack_size);
    ArmThreadEnd();
    if (thread_start_hook != nullptr) thread_start_hook();
  }
  // Handlers are hosted code too: not before the thread counts.
  ChangeKernelMask(SIG_SETMASK, start.mask);
  return start.routine(start.argument);
}

// The mask that the new thread is to have.
KernelSignalSet ChildMask(const pthread_attr_t* attributes, KernelSignalSet own) {
  sigset_t set;
  if (attributes == nullptr || pthread_attr_getsigmask_np(attributes, &set) != 0) return own;
  return ToKernelSet(set) & ~kHiddenSignalBit;
}

// Zero for libc's default.
size_t StackSize(const pthread_attr_t* attributes) {
  size_t size = 0;
  if (attributes != nullptr) pthread_attr_getstacksize(attributes, &size);
  return size;
}

struct C11Start {
  int (*routine)(void*);
  void* argument;
};

void* RunC11Thread(void* argument) {
  auto* handed_over = static_cast<C11Start*>(argument);
  const C11Start start = *handed_over;
  free(handed_over);
  return reinterpret_cast<void*>(static_cast<uintptr_t>(start.routine(start.argument)));
}

MEND_NEXT(int, pthread_create, pthread_t*, const pthread_attr_t*, Routine, void*);

int CreateProgramThread(pthread_t* thread, const pthread_attr_t* attributes, Routine routine,
                        void* argument) {
  ThreadRegistry& registry = ThreadRegistry::Get();
  const bool is_programs = !registry.IsRuntimeThread() && IsRegisteredThread();
  const UnmaskedAttributes unmasked(is_programs ? attributes : nullptr);
  const EnlargedAttributes enlarged(is_programs ? unmasked.get() : attributes);
  if (!is_programs) return next_pthread_create(thread, enlarged.get(), routine, argument);
  // The new thread begins with this mask, and sets its own when it counts.
  const Uninterrupted uninterrupted;
  auto* start = static_cast<ThreadStart*>(malloc(sizeof(ThreadStart)));
  ThreadRecord* record = start != nullptr ? registry.PrepareChild() : nullptr;
  if (record == nullptr) {
    free(start);
    return EAGAIN;
  }
  *start =
      ThreadStart{routine, argument, record, ChildMask(attributes, Uninterrupted::MaskBefore()),
                  StackSize(enlarged.get())};
  const bool counts = live_threads.load(std::memory_order_relaxed) != 0;
  if (counts) live_threads.fetch_add(1, std::memory_order_relaxed);
  const int error = next_pthread_create(thread, enlarged.get(), &RunProgramThread, start);
  if (error != 0) {
    if (counts) live_threads.fetch_sub(1, std::memory_order_relaxed);
    registry.AbandonChild(record);
    free(start);
  }
  return error;
}

}  // namespace

void SetThreadStartHook(void (*hook)()) { thread_start_hook = hook; }
void SetThreadEndHook(void (*hook)()) { thread_end_hook = hook; }

void EndThreadByCall(int status) {
  // Those that the program made by system calls, and that libc does not know, do not count.
  if (!IsRememberedProcess() || pthread_getspecific(end_key) == nullptr) return;
  some_left_by_call.store(true, std::memory_order_relaxed);
  if (CountsOutAsLast()) RawSyscall(SYS_exit_group, status);
  Uninterrupted::Begin();
  if (thread_end_hook != nullptr) thread_end_hook();
  ThreadRegistry::Get().EndThread();
  RawSyscall(SYS_exit, status);
}

void RegisterProgramMainThread() {
  // A mask outlives exec: whoever started this process may have blocked the signal.
  ChangeKernelMask(SIG_UNBLOCK, kHiddenSignalBit);
  ThreadRegistry::Get().RegisterMainThread();
  live_threads.store(1, std::memory_order_relaxed);
  ArmThreadEnd();
}

void ForgetOtherThreadsAfterFork() {
  some_left_by_call.store(false, std::memory_order_relaxed);
  if (live_threads.load(std::memory_order_relaxed) != 0) {
    live_threads.store(1, std::memory_order_relaxed);
    // It may be one that nobody counted.
    if (pthread_getspecific(end_key) == nullptr) ArmThreadEnd();
  }
}

void ExpectLibcsThreads() { libc_starts_threads.store(true, std::memory_order_relaxed); }

ProgramsFunctionScope::ProgramsFunctionScope() {
  const OwnAllocations own;
  if (thread_start_hook != nullptr) thread_start_hook();
  ThreadRegistry::Get().Enter();
}

ProgramsFunctionScope::~ProgramsFunctionScope() { ThreadRegistry::Get().Leave(); }

// Only the program's threads create others of them: nobody else can be about to.
bool ProgramHasOneThread() { return live_threads.load(std::memory_order_relaxed) == 1; }

}  // namespace mend::jit

MEND_INTERPOSE(int, pthread_create, pthread_t* thread, const pthread_attr_t* attributes,
               mend::jit::Routine routine, void* argument) {
  return mend::jit::CreateProgramThread(thread, attributes, routine, argument);
}

MEND_INTERPOSE(int, thrd_create, thrd_t* thread, thrd_start_t routine, void* argument) {
  auto* start = static_cast<mend::jit::C11Start*>(malloc(sizeof(mend::jit::C11Start)));
  if (start == nullptr) return thrd_nomem;
  *start = mend::jit::C11Start{routine, argument};
  const int error =
      mend::jit::CreateProgramThread(thread, nullptr, &mend::jit::RunC11Thread, start);
  if (error == 0) return thrd_success;
  free(start);
  return error == ENOMEM ? thrd_nomem : thrd_error;
}
