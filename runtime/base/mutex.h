// Mutex: the one lock of runtime/, jit/ and mend/.
//
// Why not absl::Mutex. Its waiters are remembered in lists that belong to threads, which a forked
// child does not have, and its deadlock detection keeps a global lock of its own; so every mutex
// had to be made anew in a child by tricks. And Debian's abseil is not annotated for
// ThreadSanitizer, which then takes everything under such a mutex for a race. This one is two words
// of plain atomics: ThreadSanitizer and the simulator (tests/simulation) understand it as it is.
//
// The words: `word_` is kFree, kLocked, or kContended (locked, and somebody may sleep on it).
// `changes_` counts the critical sections that ended while somebody awaited a condition; those
// sleep on it. Waiting is by futex, by a raw system call: guest_libc does not see it.
//
// Memory ordering: what a thread did before Unlock (or inside a critical section that Await left)
// happens before what the next thread does after its Lock.
//
// Not recursive, not fair, not for signal handlers. Holds no memory: it may be destroyed by whoever
// holds it last.
#ifndef MEND_RUNTIME_BASE_MUTEX_H_
#define MEND_RUNTIME_BASE_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace mend {

class ABSL_LOCKABLE Mutex {
 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { Acquire(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    Announce();
    Release();
  }

  // Leaves the critical section until `condition()` holds, which is called with the mutex held.
  // While it sleeps, an Uninterrupted scope pauses. REQUIRES: no other mutex is held.
  template <typename Condition>
  void Await(const Condition& condition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) {
    AwaitWithTimeout(condition, absl::InfiniteDuration());
  }
  // The same, for as long as `timeout` at most; returns the condition's last value.
  template <typename Condition>
  bool AwaitWithTimeout(const Condition& condition, absl::Duration timeout)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) {
    if (Holds(condition)) return true;
    const int64_t deadline_ns = DeadlineNs(timeout);
    // Once: this thread changes nothing from here on.
    Announce();
    while (AwaitChange(deadline_ns)) {
      if (Holds(condition)) return true;
    }
    return Holds(condition);
  }

  // In a forked child, where the holder may not exist: makes the mutex free. The waiters are not
  // here either, but for one whose signal handler forked; so they still count. REQUIRES: the caller
  // is the only thread.
  void ResetAfterFork();

 private:
  enum : uint32_t { kFree, kLocked, kContended };

  // The condition is annotated as one that needs this mutex, which the analysis cannot know here.
  template <typename Condition>
  bool Holds(const Condition& condition) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return condition();
  }

  void Acquire() {
    uint32_t expected = kFree;
    // ORDER[T14]: the end of the last critical section before this one; pairs with Release.
    if (!word_.compare_exchange_strong(expected, kLocked, std::memory_order_acquire,
                                       std::memory_order_relaxed)) [[unlikely]] {
      AcquireSlowPath();
    }
  }
  void Release() {
    // ORDER[T14]: the critical section before its end; pairs with Acquire and AcquireSlowPath.
    if (word_.exchange(kFree, std::memory_order_release) == kContended) [[unlikely]] {
      WakeOne();
    }
  }
  // Before a critical section ends in which something may have changed.
  void Announce() {
    if (awaiting_ > 0) [[unlikely]] {
      AnnounceSlowPath();
    }
  }

  void AcquireSlowPath();
  void AnnounceSlowPath();
  void WakeOne();
  // Leaves the critical section, sleeps until another one has ended, and enters again. False when
  // the deadline has passed.
  bool AwaitChange(int64_t deadline_ns);
  // On MonotonicNs's clock.
  static int64_t DeadlineNs(absl::Duration timeout);

  std::atomic<uint32_t> word_{kFree};
  std::atomic<uint32_t> changes_{0};
  uint32_t awaiting_ = 0;  // guarded by this mutex
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_MUTEX_H_
