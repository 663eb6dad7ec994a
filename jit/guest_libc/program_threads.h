// What the thread functions share with fork.
#ifndef MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_
#define MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_

namespace mend::jit {

// In the child of a fork only the calling thread is left.
void ForgetOtherThreadsAfterFork();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_
