#include "runtime/safepoint/apart_thread.h"

#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "runtime/base/clock.h"
#include "runtime/base/descriptor_table.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/mutex.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/runtime_thread.h"
#include "runtime/safepoint/single_thread.h"

namespace mend {
namespace {

constexpr int64_t kHourNs = int64_t{3600} * 1'000'000'000;
// What is waited for the thread to come to run. A filter may have killed it instead (seccomp).
constexpr int64_t kStartMaxNs = 1'000'000'000;

constexpr int64_t kLateNs = 200'000'000;  // for a test

enum ThreadState : uint32_t {
  kStarting,
  kServes,
  kNoThread,  // and the next coordinator tries again
  kForbidden,
};

// What askers and the thread share. Not std::function: a caller's work stays on its stack.
struct Desk {
  Mutex mu;  // of the asker, from its question to the answer
  const absl::FunctionRef<void()>* work = nullptr;
  std::atomic<uint32_t> asked{0};  // counts questions
  std::atomic<uint32_t> answered{0};
  std::atomic<uint32_t> thread{kNoThread};
};
// Made anew in a forked child, where another thread's question, and its lock, would stay for ever.
constinit Desk desk;

// The process that `desk` is made for: other than this one in the child of a vfork, or of a raw
// system call.
constinit std::atomic<long> made_for{0};

long ThisProcess() { return RawSyscall(SYS_getpid); }

uint32_t AwaitQuestion(uint32_t seen) {
  const RuntimeThreadSleep sleep;
  uint32_t asked;
  // ORDER[T28]: the work and what it refers to, after the count; pairs with RunApart.
  while ((asked = desk.asked.load(std::memory_order_acquire)) == seen) {
    FutexWait(&desk.asked, seen, kHourNs);
  }
  return asked;
}

// The program may change its root to one without /proc. Nor is what it has left to be kept in use.
void LeaveSharedFolders() {
  if (::unshare(CLONE_FS) != 0) return;
  [[maybe_unused]] const int ignored = ::chdir("/");
}

void SetThread(ThreadState state) {
  // ORDER[T28]: the table of its own before who looks for the thread; pairs with IsServed.
  desk.thread.store(state, std::memory_order_release);
  FutexWake(&desk.thread, INT_MAX);
}

// Waits for a thread that is being started: what is asked for before it has come to run must not be
// opened in the program's table either.
bool IsServed() {
  // ORDER[T28]: the process before the desk; pairs with StartApartThread.
  if (made_for.load(std::memory_order_acquire) != ThisProcess()) return false;
  // ORDER[T28]: pairs with SetThread.
  uint32_t thread = desk.thread.load(std::memory_order_acquire);
  if (thread != kStarting) return thread == kServes;
  const int64_t begin_ns = MonotonicNs();
  do {
    const int64_t left_ns = begin_ns + kStartMaxNs - MonotonicNs();
    // The thread says so all the same, if it does come.
    if (left_ns <= 0 &&
        desk.thread.compare_exchange_strong(thread, kForbidden, std::memory_order_relaxed)) {
      return false;
    }
    if (left_ns > 0) FutexWait(&desk.thread, kStarting, left_ns);
    thread = desk.thread.load(std::memory_order_acquire);
  } while (thread == kStarting);
  return thread == kServes;
}

void* Serve(void*) {
  if (MEND_FAILPOINT("apart_thread/late")) FutexWait(&desk.thread, kStarting, kLateNs);
  uint32_t seen = desk.asked.load(std::memory_order_relaxed);
  if (!LeaveSharedDescriptorTable({})) {
    SetThread(kForbidden);
    return nullptr;
  }
  LeaveSharedFolders();
  SetThread(kServes);
  while (true) {
    seen = AwaitQuestion(seen);
    (*desk.work)();
    // ORDER[T28]: what the work did before the answer; pairs with RunApart.
    desk.answered.store(seen, std::memory_order_release);
    FutexWake(&desk.answered, 1);
  }
}

}  // namespace

void StartApartThread() {
  const long process = ThisProcess();
  // Relaxed: coordinators are started under a lock, or while the process has one thread.
  if (made_for.load(std::memory_order_relaxed) != process) {
    new (&desk) Desk;
  } else if (desk.thread.load(std::memory_order_relaxed) != kNoThread) {
    return;
  }
  desk.thread.store(kStarting, std::memory_order_relaxed);
  // ORDER[T28]: the desk before the process; pairs with IsServed.
  made_for.store(process, std::memory_order_release);
  if (!StartRuntimeThread("mend-files", &Serve, nullptr, nullptr).ok()) SetThread(kNoThread);
}

void ForgetApartThread() { made_for.store(0, std::memory_order_relaxed); }

void RunApart(absl::FunctionRef<void()> work) {
  if (!IsServed()) return work();
  const MutexLock lock(&desk.mu);
  desk.work = &work;
  const uint32_t question = desk.asked.load(std::memory_order_relaxed) + 1;
  // ORDER[T28]: the work before the count; pairs with AwaitQuestion.
  desk.asked.store(question, std::memory_order_release);
  FutexWake(&desk.asked, 1);
  uint32_t answered;
  // ORDER[T28]: the answer before what the caller makes of it; pairs with Serve.
  while ((answered = desk.answered.load(std::memory_order_acquire)) != question) {
    FutexWait(&desk.answered, answered, kHourNs);
  }
}

}  // namespace mend
