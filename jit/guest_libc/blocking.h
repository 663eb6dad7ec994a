// How an interposed function makes a call that may sleep.
//
// BlockedRegion alone keeps the safepoint signal away from a sleeping thread, except when the
// coordinator saw it running just before. libc's calls that end with EINTR even under SA_RESTART
// would then show the program an interruption that it did not cause; these wrappers make the call
// again unless one of the program's own handlers has run.
#ifndef MEND_JIT_GUEST_LIBC_BLOCKING_H_
#define MEND_JIT_GUEST_LIBC_BLOCKING_H_

#include <errno.h>
#include <time.h>

#include <atomic>
#include <cstdint>

#include "jit/guest_libc/next_function.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/thread_state.h"

namespace mend::jit {

// How many handlers of the program have begun on this thread; counted by the wrapper around them.
// Atomic, since handlers interrupt the code that reads it.
extern thread_local constinit std::atomic<uint32_t> tls_handlers_run
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// Whether the runtime knows the calling thread.
inline bool IsRegisteredThread() {
  // Relaxed: the thread itself writes its word, or a signal handler on it.
  return tls_thread_words.record.load(std::memory_order_relaxed) != nullptr;
}

// Tells whether a call that ended with EINTR was interrupted by the runtime alone.
class InterruptionWatch {
 public:
  InterruptionWatch() : saved_errno_(errno), handlers_before_(ReadCount()) {}

  // True: make the call again; errno is as it was before the first one.
  bool ShallRestart(bool interrupted) const {
    if (!interrupted || ReadCount() != handlers_before_ || !IsRegisteredThread()) return false;
    errno = saved_errno_;
    return true;
  }

 private:
  // Relaxed: only handlers on this thread change it.
  static uint32_t ReadCount() { return tls_handlers_run.load(std::memory_order_relaxed); }

  const int saved_errno_;
  const uint32_t handlers_before_;
};

// Makes `call`, and again while only the runtime interrupted it. For calls that return -1 and set
// errno, and whose arguments do not change meanwhile.
template <typename Call>
auto CallRestarting(const char* function, Call call) {
  const BlockedRegion region(function);
  const InterruptionWatch watch;
  while (true) {
    const auto result = call();
    if (!watch.ShallRestart(result == -1 && errno == EINTR)) return result;
  }
}

// A relative time-out of which part may have passed.
class Countdown {
 public:
  explicit Countdown(int64_t timeout_ns) : timeout_ns_(timeout_ns), start_ns_(Now(kCoarse)) {}

  // What is left; not less than zero, and never so little that the whole wait becomes too short.
  int64_t LeftNs() const {
    // The coarse clock lags by up to a tick: wait that much longer rather than shorter.
    const int64_t left = timeout_ns_ - (Now(CLOCK_MONOTONIC) - start_ns_) + kTickNs;
    return left < 0 ? 0 : left < timeout_ns_ ? left : timeout_ns_;
  }

 private:
  // Read for every wait, used by few: 5 ns instead of 25.
  static constexpr clockid_t kCoarse = CLOCK_MONOTONIC_COARSE;
  static constexpr int64_t kTickNs = 10'000'000;

  static int64_t Now(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }

  const int64_t timeout_ns_;
  const int64_t start_ns_;
};

// Relative time-outs as nanoseconds. Longer ones than 200 years count as that; invalid ones must
// not come here.
inline constexpr int64_t kForeverNs = int64_t{200} * 365 * 86400 * 1'000'000'000;
inline int64_t ToNanoseconds(const timespec& time) {
  if (time.tv_sec >= kForeverNs / 1'000'000'000) return kForeverNs;
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}
inline timespec ToTimespec(int64_t ns) {
  return timespec{.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}
inline bool IsValid(const timespec& time) {
  return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000;
}

// The same for a relative time-out: `call` takes a pointer to what is left (null: no limit).
template <typename Call>
auto CallRestartingFor(const char* function, const timespec* timeout, Call call) {
  const BlockedRegion region(function);
  const InterruptionWatch watch;
  if (timeout == nullptr || !IsValid(*timeout)) {
    while (true) {
      const auto result = call(timeout);
      if (!watch.ShallRestart(result == -1 && errno == EINTR)) return result;
    }
  }
  const Countdown countdown(ToNanoseconds(*timeout));
  timespec left = *timeout;
  while (true) {
    const auto result = call(&left);
    if (!watch.ShallRestart(result == -1 && errno == EINTR)) return result;
    left = ToTimespec(countdown.LeftNs());
  }
}

}  // namespace mend::jit

// Defines NAME as: enter a blocked region, call the next NAME. For calls that libc or the kernel
// restarts by themselves, or that are never interrupted.
#define MEND_BLOCKING(result, name, parameters, arguments) \
  MEND_NEXT(result, name, MEND_UNWRAP parameters);         \
  MEND_INTERPOSE(result, name, MEND_UNWRAP parameters) {   \
    const ::mend::BlockedRegion region(#name);             \
    return next_##name arguments;                          \
  }

// The same for calls that end with EINTR whatever the handler's flags say; and for descriptor
// calls, which do so once a socket has a time-out.
#define MEND_BLOCKING_RESTARTING(result, name, parameters, arguments)                 \
  MEND_NEXT(result, name, MEND_UNWRAP parameters);                                    \
  MEND_INTERPOSE(result, name, MEND_UNWRAP parameters) {                              \
    return ::mend::jit::CallRestarting(#name, [&] { return next_##name arguments; }); \
  }
#define MEND_UNWRAP(...) __VA_ARGS__

#endif  // MEND_JIT_GUEST_LIBC_BLOCKING_H_
