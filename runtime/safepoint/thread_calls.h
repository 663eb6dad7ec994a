// The system calls that a thread of the program makes where it would make none natively: at polls,
// and around calls that may sleep. They save time, and can be done without, one by one, in a
// process of which a thread confines itself (seccomp) to calls that do not include them.
//
// Thread safety: all are thread-safe; Yield and Wake are async-signal-safe.
#ifndef MEND_RUNTIME_SAFEPOINT_THREAD_CALLS_H_
#define MEND_RUNTIME_SAFEPOINT_THREAD_CALLS_H_

#include <atomic>
#include <cstdint>

#include "runtime/base/raw_syscall.h"

namespace mend {

class ThreadCalls {
 public:
  // Lets another thread run while this one spins for it.
  static void Yield() noexcept [[clang::nonblocking]] {
    if (no_yield_.load(std::memory_order_relaxed)) [[unlikely]] {
      __builtin_ia32_pause();
    } else {
      YieldProcessor();
    }
  }

  // Wakes who sleeps on `word` and looks again after a while by itself, too.
  static void Wake(std::atomic<uint32_t>* word, int waiters) noexcept [[clang::nonblocking]] {
    if (!no_wake_.load(std::memory_order_relaxed)) [[likely]] {
      FutexWake(word, waiters);
    }
  }

  static bool MayWake() { return !no_wake_.load(std::memory_order_relaxed); }

  // Called by a thread that is about to confine itself, for the whole process and its children.
  // Relaxed: what other threads still do they may.
  static void ForgoYield() { no_yield_.store(true, std::memory_order_relaxed); }
  static void ForgoWake() { no_wake_.store(true, std::memory_order_relaxed); }

 private:
  inline static constinit std::atomic<bool> no_yield_{false};
  inline static constinit std::atomic<bool> no_wake_{false};
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_THREAD_CALLS_H_
