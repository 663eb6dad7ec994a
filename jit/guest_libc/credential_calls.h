// Internal to guest_libc.
#ifndef MEND_JIT_GUEST_LIBC_CREDENTIAL_CALLS_H_
#define MEND_JIT_GUEST_LIBC_CREDENTIAL_CALLS_H_

#include "runtime/safepoint/runtime_thread_call.h"

namespace mend::jit {

// The calling thread has made a call with success. If it is one that changes credentials, and the
// thread the process's first, the runtime's threads make it too.
void FollowCredentials(const KernelCall& call);

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_CREDENTIAL_CALLS_H_
