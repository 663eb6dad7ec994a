// System calls without libc: for signal handlers, the poll path and calls that guest_libc would
// interpose. They do not touch errno; the result is the kernel's (-errno on failure).
#ifndef MEND_RUNTIME_BASE_RAW_SYSCALL_H_
#define MEND_RUNTIME_BASE_RAW_SYSCALL_H_

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>

namespace mend {

// Nonblocking as far as the caller knows: a call that sleeps must not be made from handlers.
inline long RawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                       long f = 0) noexcept [[clang::nonblocking]] {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

// Wakes up to `waiters` threads that sleep on `word`.
inline void FutexWake(std::atomic<uint32_t>* word, int waiters) noexcept [[clang::nonblocking]] {
  RawSyscall(SYS_futex, reinterpret_cast<long>(word), FUTEX_WAKE_PRIVATE, waiters);
}

// Sleeps while `word` holds `value`, at most `timeout_ns`; may wake without a reason.
inline void FutexWait(std::atomic<uint32_t>* word, uint32_t value, int64_t timeout_ns) noexcept {
  struct {
    int64_t seconds;
    int64_t nanoseconds;
  } timeout = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  RawSyscall(SYS_futex, reinterpret_cast<long>(word), FUTEX_WAIT_PRIVATE, value,
             reinterpret_cast<long>(&timeout));
}

// Lets another thread run while this one spins for it.
inline void YieldProcessor() noexcept [[clang::nonblocking]] { RawSyscall(SYS_sched_yield); }

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_RAW_SYSCALL_H_
