// Uninterrupted: a scope in which a thread of the program works for the runtime: none of the
// program's signal handlers runs on it, and no cancellation takes effect. Signals that come
// meanwhile are handled at its end.
//
// Why. The thread may hold the core's locks, or the claim on a thread's record (safepoint), its own
// included. A handler runs on top of it, and may wait for just these for ever: it leaves a blocked
// region (SignalScope), calls hosted code, or forks, which is async-signal-safe. And a cancelled
// thread would unwind out of the middle of a transition.
//
// What is not held back: the safepoint signal, which a thread that enters a blocked region waits
// for; the signals by which libc reaches all threads (cancellation, setuid); and those of faults,
// whose handlers are how a crash of the runtime is reported.
//
// Nests; only the outermost scope does anything (two system calls). Async-signal-safe.
#ifndef MEND_RUNTIME_BASE_UNINTERRUPTED_H_
#define MEND_RUNTIME_BASE_UNINTERRUPTED_H_

#include <cstdint>

namespace mend {

// The last real-time signal, which the runtime takes for itself (runtime/safepoint/safepoint.h).
inline constexpr int kSafepointSignal = 64;

class Uninterrupted {
 public:
  Uninterrupted() noexcept { Begin(); }
  ~Uninterrupted() { End(); }
  Uninterrupted(const Uninterrupted&) = delete;
  Uninterrupted& operator=(const Uninterrupted&) = delete;

  // The same without a scope, where it begins and ends in different functions.
  static void Begin() noexcept;
  static void End() noexcept;

  // The signal mask (the kernel's form) that the calling thread had before the outermost scope, and
  // is to have after it. REQUIRES: in a scope.
  static uint64_t MaskBefore() noexcept;
  static void SetMaskAfter(uint64_t mask) noexcept;
  // What a scope adds to the mask.
  static uint64_t HeldBack() noexcept;

  // Outside again, within: while the thread sleeps without the core's locks, or runs the program's
  // code. Handlers run, and a mask that is set meanwhile is kept. Cancellation stays off.
  class Pause {
   public:
    Pause() noexcept;
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    unsigned depth_;
    int cancel_state_;
  };
};

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_UNINTERRUPTED_H_
