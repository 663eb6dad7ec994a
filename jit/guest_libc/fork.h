// What happens around a fork, for calls that fork without libc's knowing.
#ifndef MEND_JIT_GUEST_LIBC_FORK_H_
#define MEND_JIT_GUEST_LIBC_FORK_H_

#include <errno.h>

#include "runtime/safepoint/runtime_thread_call.h"

namespace mend::jit {

// The hooks (ForkHooks) and what guest_libc does itself.
void PrepareFork();
void ParentAfterFork();
void ChildAfterFork();

// Makes a system call that copies the process, and returns what it returned: in the child 0.
// None of the program's pthread_atfork handlers runs, as natively, nor what libc does for itself:
// locks of libc's that the runtime's threads hold would stay locked in the child.
template <typename Call>
long ForkBy(Call call) {
  PrepareFork();
  AwaitRuntimeThreadsAsleep();
  const long result = call();
  const int error = errno;
  if (result == 0) {
    ChildAfterFork();
  } else {
    ParentAfterFork();
  }
  errno = error;
  return result;
}

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_FORK_H_
