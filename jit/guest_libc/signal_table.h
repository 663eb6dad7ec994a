// What the signal functions share with fork.
#ifndef MEND_JIT_GUEST_LIBC_SIGNAL_TABLE_H_
#define MEND_JIT_GUEST_LIBC_SIGNAL_TABLE_H_

namespace mend::jit {

// In the child of a fork: a thread that is no more may have been installing a handler.
void ResetSignalTableAfterFork();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_SIGNAL_TABLE_H_
