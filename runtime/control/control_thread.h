// Threads of the control server: threads of the runtime's own, detached.
#ifndef MEND_RUNTIME_CONTROL_CONTROL_THREAD_H_
#define MEND_RUNTIME_CONTROL_CONTROL_THREAD_H_

#include <functional>

#include "absl/status/status.h"

namespace mend {

// Runs `body` in a new detached thread of the runtime. `name` outlives it, and has at most 15
// characters. RESOURCE_EXHAUSTED.
absl::Status StartControlThread(const char* name, std::function<void()> body);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_CONTROL_THREAD_H_
