// What a seccomp filter says of a system call, found by running it here.
#ifndef MEND_JIT_GUEST_LIBC_SECCOMP_FILTER_H_
#define MEND_JIT_GUEST_LIBC_SECCOMP_FILTER_H_

#include <linux/filter.h>

namespace mend::jit {

// Whether a thread with the filter may make system call `number` of x86-64, with arguments of zero.
// False, too, for a program that the kernel would not take. Safe in signal handlers.
bool FilterAllows(const sock_fprog& filter, int number) noexcept;

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_SECCOMP_FILTER_H_
