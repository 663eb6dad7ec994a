#include "runtime/safepoint/apart_thread.h"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "runtime/base/descriptor_table.h"
#include "runtime/base/mutex.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/runtime_thread.h"
#include "runtime/safepoint/single_thread.h"

namespace mend {
namespace {

constexpr int64_t kHourNs = int64_t{3600} * 1'000'000'000;

// What askers and the thread share. Not std::function: a caller's work stays on its stack.
struct Desk {
  Mutex mu;  // of the asker, from its question to the answer
  const absl::FunctionRef<void()>* work = nullptr;
  std::atomic<uint32_t> asked{0};  // counts questions
  std::atomic<uint32_t> answered{0};
};
// Made anew in a forked child, where another thread's question, and its lock, would stay for ever.
constinit Desk desk;

// The process that `desk` is made for, and the one whose thread serves it: other than this one in
// the child of a vfork, or of a raw system call.
constinit std::atomic<long> made_for{0};
constinit std::atomic<long> served_in{0};

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

void* Serve(void*) {
  uint32_t seen = desk.asked.load(std::memory_order_relaxed);
  if (!LeaveSharedDescriptorTable({})) return nullptr;  // and nobody asks
  LeaveSharedFolders();
  // ORDER[T28]: the desk, and the table of its own, before the process; pairs with RunApart.
  served_in.store(ThisProcess(), std::memory_order_release);
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
  if (made_for.exchange(process, std::memory_order_relaxed) == process) return;
  new (&desk) Desk;
  if (!StartRuntimeThread("mend-files", &Serve, nullptr, nullptr).ok()) {
    // The next coordinator tries again.
    made_for.store(0, std::memory_order_relaxed);
  }
}

void ForgetApartThread() {
  made_for.store(0, std::memory_order_relaxed);
  served_in.store(0, std::memory_order_relaxed);
}

void RunApart(absl::FunctionRef<void()> work) {
  // ORDER[T28]: the process before the desk; pairs with Serve.
  if (served_in.load(std::memory_order_acquire) != ThisProcess()) return work();
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
