// What the thread functions share with fork and chroot.
#ifndef MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_
#define MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_

namespace mend::jit {

// In the child of a fork only the calling thread is left.
void ForgetOtherThreadsAfterFork();

// Whether the hosted program has no thread but the calling one, which is the program's.
bool ProgramHasOneThread();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_
