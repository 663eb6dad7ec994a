// Atomic replace (rules 1.7): a cumulative patch takes all older ones with it. What they patch and
// it does not goes back to the original in the same transition, by nop functions.
#ifndef MEND_RUNTIME_TRANSITION_ATOMIC_REPLACE_H_
#define MEND_RUNTIME_TRANSITION_ATOMIC_REPLACE_H_

#include <vector>

#include "absl/status/status.h"
#include "runtime/patch/patch.h"

namespace mend {

// Adds to `patch` a nop for every function of `active` that it does not have itself: at the end of
// its own object, or in an object made for it (`dynamic`). RESOURCE_EXHAUSTED leaves the patch as
// it was.
absl::Status AddNops(Patch* patch, const std::vector<Patch*>& active);

// REQUIRES: they are on no func_stack.
void DropNops(Patch* patch);

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_ATOMIC_REPLACE_H_
