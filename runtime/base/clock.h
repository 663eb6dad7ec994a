// The clock of timeouts and durations.
#ifndef MEND_RUNTIME_BASE_CLOCK_H_
#define MEND_RUNTIME_BASE_CLOCK_H_

#include <cstdint>

namespace mend {

// CLOCK_MONOTONIC.
int64_t MonotonicNs();

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_CLOCK_H_
