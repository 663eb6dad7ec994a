// The stack check: may this thread switch where it stands? (docs/consistency_model.md)
//
// Yes iff the walk reached the thread's outermost frame, no return address and no interrupted PC
// lies in a forbidden range, and none is inside a trampoline. Whatever is in doubt is "not now".
//
// Thread safety: lock-free, allocates nothing; runs in signal handlers.
#ifndef MEND_RUNTIME_SAFEPOINT_STACK_CHECK_H_
#define MEND_RUNTIME_SAFEPOINT_STACK_CHECK_H_

#include <cstddef>

#include "runtime/base/code_address.h"
#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/thread_state.h"

namespace mend {

struct SwitchRequest;

struct StackCheckResult {
  SwitchResult reason = SwitchResult::kSwitched;  // kSwitched: clean
  CodeAddress pc;                                 // kOnStack: what was found; else the last PC
  size_t frame = 0;
  WalkEnd walk_end = WalkEnd::kComplete;
};

// A thread on a stack that is none of those it is known to have is in doubt.
// REQUIRES: the thread is the caller, or cannot run until the call has returned.
StackCheckResult CheckStack(const RegisterContext& context, const WalkOptions& stacks,
                            const SwitchRequest& request) noexcept [[clang::nonblocking]];

// The range of the sorted, disjoint `ranges` that contains `pc`, or null.
const CodeRange* FindRange(const CodeRange* ranges, size_t count, CodeAddress pc) noexcept
    [[clang::nonblocking]];

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_STACK_CHECK_H_
