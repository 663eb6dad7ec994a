// The state of one thread that may run hosted code.
//
// It has two parts. ThreadWords is the part that generated code touches: it lives in the thread's
// own static TLS, at an offset from %fs that is the same in every thread. ThreadRecord is the rest:
// the coordinator's view. Records are never freed while the process lives (they are reused), so a
// late signal or a stale pointer finds a record, never freed memory.
//
//   activity      who may set it                          the coordinator may
//   kStarting     creator, before the thread exists       switch it (no frames yet)
//   kRunning      the thread itself                       poll or signal it
//   kBlocked      the thread itself (anchor published)    claim it (kClaimed), walk the anchor
//   kClaimed      the coordinator, from kBlocked/kOutside/kStarting   switch it, give it back
//   kOutside      the thread itself (no hosted frame)     switch it
//   kGone         the thread itself, last                 ignore it
//
// Every change away from a claimable state is a compare-and-swap, so that a thread never runs
// hosted code while it is being looked at.
#ifndef MEND_RUNTIME_SAFEPOINT_THREAD_STATE_H_
#define MEND_RUNTIME_SAFEPOINT_THREAD_STATE_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/stack_walker.h"

namespace mend {

struct ThreadRecord;

// What generated code reads through %fs. The layout is fixed: polls test `poll`, trampolines
// compare `epoch` as an unsigned 32-bit word.
struct ThreadWords {
  std::atomic<uint8_t> poll;    // non-zero: take the slow path at the next poll
  std::atomic<uint32_t> epoch;  // patch state: transitions with a larger epoch are not switched to.
                                // 0: this thread is not registered
  std::atomic<ThreadRecord*> record;
};
static_assert(offsetof(ThreadWords, poll) == 0 && offsetof(ThreadWords, epoch) == 4 &&
                  offsetof(ThreadWords, record) == 8,
              "generated code and trampolines use these offsets");

// The words of the calling thread. Initial-exec: an access is one %fs-relative load.
extern thread_local constinit ThreadWords tls_thread_words
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// The offset of the calling thread's words from its thread pointer (negative on x86-64), equal in
// every thread. For the loader, which resolves `__mend_tlsoff.*` symbols of hosted objects.
intptr_t ThreadWordsOffset();

enum class Activity : uint32_t { kGone, kStarting, kRunning, kBlocked, kClaimed, kOutside };

// Why an attempt to switch a thread did not succeed. kSwitched is success.
enum class SwitchResult : uint8_t {
  kSwitched,
  kAlreadySwitched,
  kRunning,          // it runs; a poll or signal is on its way
  kOnStack,          // a replaced or held function is on its stack
  kUnreliableStack,  // the walk did not reach the base
  kBusy,             // claimed by somebody else
  kNotAsked,         // a canary's transition, and the thread was not chosen for it
};

// What holds a thread back, as of the latest attempt. Written by whoever made the attempt.
struct Straggler {
  SwitchResult reason = SwitchResult::kSwitched;
  CodeAddress pc;    // kOnStack: the return address or PC in the function
  size_t frame = 0;  // its depth; 0 = innermost
  WalkEnd walk_end = WalkEnd::kComplete;
  uint64_t tries = 0;
  int64_t since_ns = 0;  // CLOCK_MONOTONIC of the first failed attempt in this transition
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_THREAD_STATE_H_
