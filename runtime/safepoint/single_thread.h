// SingleThread: libc's fast paths for processes that have one thread.
//
// While a process has one thread, glibc leaves out locks and atomic operations: in malloc and free,
// in stdio, in mutexes, and (by <sys/single_threaded.h>) in every std::shared_ptr. The first
// pthread_create ends that for good, and a hosted program would never have it, since the runtime
// starts threads before the program does: 10 to 25 % of the time of programs that allocate much
// (docs/performance.md). But the runtime's threads sleep until an operator calls, and touch nothing
// of libc's in their sleep. So as long as the program has one thread and all of the runtime's
// sleep, libc is told that there is one; and the first that wakes up tells it otherwise, for good.
//
//   kOff       libc counts all threads
//   kEntering  the program's thread looks whether all of the runtime's sleep
//   kOn        libc has been told that there is one thread
//
// Leaving. Whatever libc has begun without a lock must be over before the thread that woke up
// touches libc. Libc decides operation by operation, so the word is changed first, and then the
// program's thread must be seen once outside of any operation: at a safepoint (a poll, or hosted
// text that the safepoint signal interrupts), or asleep in a system call (allocation makes calls,
// but none that sleep interruptibly); and not in a signal handler of the program, which may have
// interrupted anything. That the word changes in the middle of an operation does no harm by itself:
// libc decides once for each lock that it takes or does not take, or finds it free when it gives it
// back.
//
// Who calls it: the host, when the program starts and in forked children; the calls that change
// credentials, which libc would otherwise not do for the runtime's threads; the runtime's threads
// around their sleep; the safepoints. Thread safety: as said at each function.
#ifndef MEND_RUNTIME_SAFEPOINT_SINGLE_THREAD_H_
#define MEND_RUNTIME_SAFEPOINT_SINGLE_THREAD_H_

#include <atomic>
#include <cstdint>

#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/thread_record.h"

namespace mend {

class SingleThread {
 public:
  // Tells libc that there is one thread, unless there is another that is not the runtime's, one of
  // the runtime's is (and stays for a moment) awake, or libc is not one that can be told.
  // Nor with contexts (thread_registry.h), since the thread goes from one record to another.
  // REQUIRES: the caller is registered, and in no operation of libc's.
  static void Enter();

  // The program's thread itself, in no operation of libc's: libc counts all threads from now on.
  // Returns whether it did not before. Costs a load when not.
  static bool Leave();

  // In a forked child: the runtime's threads are gone.
  static void ChildAfterFork();

  // The program's thread is at a safepoint, where `context` says. Async-signal-safe.
  static void NoteSafepoint(const ThreadRecord& record, const RegisterContext& context) noexcept
      [[clang::nonblocking]] {
    if (awaited_.load(std::memory_order_relaxed)) [[unlikely]] {
      NoteSlowPath(record, context.rsp);
    }
  }

  // The safepoint signal has interrupted the program's thread at `context`. Hosted text is outside
  // of libc, whatever is below it on the stack: libc calls nobody in the middle of an operation.
  // Async-signal-safe.
  static void NoteInterrupted(const ThreadRecord& record, const RegisterContext& context) noexcept
      [[clang::nonblocking]] {
    if (awaited_.load(std::memory_order_relaxed)) [[unlikely]] {
      NoteInterruptedSlowPath(record, context);
    }
  }

  // A thread of the runtime exists from now on, and is awake.
  static void AddRuntimeThread() { CountRuntimeThread(1); }
  // It could not be started, or has been joined.
  static void RemoveRuntimeThread() { CountRuntimeThread(-1); }

 private:
  friend class RuntimeThreadSleep;
  enum Mode : uint32_t { kOff, kEntering, kOn };

  static void FallAsleep() {
    // ORDER[T22]: all that this thread did with libc before the count; pairs with Enter.
    if (awake_.fetch_sub(1, std::memory_order_release) == 1) FutexWake(&awake_, 1);
  }
  static void WakeUp() {
    // ORDER[T22]: counted before reading the mode; pairs with Enter. ORDER[T23]: pairs with
    // LeaveSlowPath.
    awake_.fetch_add(1, std::memory_order_seq_cst);
    if (mode_.load(std::memory_order_seq_cst) != kOff) [[unlikely]] {
      LeaveSlowPath();
    }
  }
  static void CountRuntimeThread(int by) {
    runtime_threads_.fetch_add(by, std::memory_order_relaxed);
    awake_.fetch_add(static_cast<uint32_t>(by), std::memory_order_relaxed);
  }
  static void LeaveSlowPath();
  static void AwaitSafepoint();
  static void NoteSlowPath(const ThreadRecord& record, uintptr_t rsp) noexcept
      [[clang::nonblocking]];
  static void NoteInterruptedSlowPath(const ThreadRecord& record,
                                      const RegisterContext& context) noexcept
      [[clang::nonblocking]];

  // Threads of the runtime that may be using libc. One that has ended still counts until it has
  // been joined: libc may be taking its memory back.
  static std::atomic<uint32_t> awake_;
  static std::atomic<int> runtime_threads_;
  static std::atomic<uint32_t> mode_;
  static std::atomic<bool> awaited_;
};

// The scope of a wait in which a thread of the runtime uses nothing of libc's.
class RuntimeThreadSleep {
 public:
  RuntimeThreadSleep() { SingleThread::FallAsleep(); }
  ~RuntimeThreadSleep() { SingleThread::WakeUp(); }
  RuntimeThreadSleep(const RuntimeThreadSleep&) = delete;
  RuntimeThreadSleep& operator=(const RuntimeThreadSleep&) = delete;
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_SINGLE_THREAD_H_
