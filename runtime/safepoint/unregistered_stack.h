// Stacks that the program made and switches to by code of its own (a coroutine library's assembler;
// a longjmp to another stack), without telling the runtime. What is suspended on such a stack is
// in nobody's walk. So once a thread has been seen on one, by a blocking call or a safepoint, the
// process remembers it for good: patches are refused, and a transition does not complete, unless
// the operator says so. The same when a longjmp has gone to one, or code that does so has run, as
// patchc finds it (stack_switches.h). Not seen is one that other code goes to, on which no blocking
// call is made and that no thread is on when it is asked; and those of threads that were merely
// found (ThreadRecord::adopted).
#ifndef MEND_RUNTIME_SAFEPOINT_UNREGISTERED_STACK_H_
#define MEND_RUNTIME_SAFEPOINT_UNREGISTERED_STACK_H_

#include <sys/types.h>

#include <optional>

#include "runtime/base/code_address.h"
#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/thread_record.h"

namespace mend {

// How lists of threads name what is suspended there.
inline constexpr char kUnregisteredStack[] = "unregistered stack";

// Where a thread was first seen on one.
struct UnregisteredStack {
  pid_t tid = 0;                     // 0: `blocked_in` is a function that goes to one, and has run
  const char* blocked_in = nullptr;  // the call that it made there; null: it was asked at `pc`
  CodeAddress pc;
};

// `context` is the calling thread's, and not on record.stack: remembers it, unless it is the signal
// stack, or record.stack is not known for sure. `blocked_in`: the call that the thread is about to
// make, a string literal; null at a safepoint. Async-signal-safe.
void NoticeStack(const ThreadRecord& record, const RegisterContext& context,
                 const char* blocked_in) noexcept [[clang::nonblocking]];

// The calling thread is about to jump: its stack pointer was `from` and will be `to`. Notices a
// jump to another stack, or down its own, to what must have been suspended there.
// Async-signal-safe.
void NoticeJump(const ThreadRecord& record, uintptr_t from, uintptr_t to) noexcept
    [[clang::nonblocking]];

// The first one seen; none when they are to be ignored. Thread-safe.
std::optional<UnregisteredStack> FindUnregisteredStack();

// Whether to go on as if there were none. Thread-safe.
void IgnoreUnregisteredStacks(bool ignore);
bool UnregisteredStacksIgnored();

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_UNREGISTERED_STACK_H_
