// What the exec functions share with fork.
#ifndef MEND_JIT_GUEST_LIBC_EXEC_H_
#define MEND_JIT_GUEST_LIBC_EXEC_H_

namespace mend::jit {

// Remembers that the calling process is not the child of a vfork: at start, and after each fork.
void RememberProcess();
bool IsRememberedProcess();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_EXEC_H_
