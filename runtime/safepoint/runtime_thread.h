// Starts threads of the runtime's own: all signals blocked, never registered, never signalled.
#ifndef MEND_RUNTIME_SAFEPOINT_RUNTIME_THREAD_H_
#define MEND_RUNTIME_SAFEPOINT_RUNTIME_THREAD_H_

#include <pthread.h>

#include <cstddef>

#include "absl/status/status.h"

namespace mend {

inline constexpr size_t kRuntimeStackBytes = size_t{512} * 1024;

// Runs `body(argument)` in a new thread, which the caller joins by `*thread`; a null `thread` makes
// it a detached one. `name` outlives the thread and is at most 15 characters. RESOURCE_EXHAUSTED
// when the system has no thread to give.
absl::Status StartRuntimeThread(const char* name, void* (*body)(void*), void* argument,
                                pthread_t* thread, size_t stack_bytes = kRuntimeStackBytes);

// Waits until a thread that the caller started has ended. The runtime is as if there had been none.
void JoinRuntimeThread(pthread_t thread);

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_RUNTIME_THREAD_H_
