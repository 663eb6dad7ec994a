// In front of the production header of this name: the same calls, answered by the simulation.
#ifndef MEND_RUNTIME_BASE_RAW_SYSCALL_H_
#define MEND_RUNTIME_BASE_RAW_SYSCALL_H_

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>

namespace mend {

// seams.cc
long RawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                long f = 0) noexcept [[clang::nonblocking]];
void FutexWake(std::atomic<uint32_t>* word, int waiters) noexcept [[clang::nonblocking]];
void FutexWait(std::atomic<uint32_t>* word, uint32_t value, int64_t timeout_ns) noexcept;
void YieldProcessor() noexcept [[clang::nonblocking]];

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_RAW_SYSCALL_H_
