// ParallelFor: one step of a load, done to all of its objects on several processors.
#ifndef MEND_JIT_LINK_PARALLEL_FOR_H_
#define MEND_JIT_LINK_PARALLEL_FOR_H_

#include <cstddef>

#include "absl/functional/function_ref.h"

namespace mend::jit {

// The processors that this thread may run on, kScratchThreads at most: more gain next to nothing in
// a load.
size_t UsableProcessors();

// Calls body(0) to body(count - 1), each once, in this order begun, on the calling thread and on up
// to `threads` - 1 threads of the runtime's. Where the system has no thread to give, the others do
// the work. All of them in a ScratchScope. What bodies did happens before the return.
void ParallelFor(size_t threads, size_t count, absl::FunctionRef<void(size_t)> body);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_PARALLEL_FOR_H_
