// The apart thread: a thread of the runtime with a table of file descriptors of its own, in which
// others have files opened.
//
// Why. A program may rely on getting the lowest free number, or put a descriptor where it knows
// that none is (dup2). A file that a thread of the runtime opens in the program's table for a
// moment takes that number, or takes the program's along when it is closed. The coordinator and the
// threads of requests cannot leave the program's table themselves, since they run callbacks.
//
// A process has one such thread, from when its coordinator starts; a forked child gets its own in
// the same way. Where there is none (the system has no thread to give, or a seccomp filter forbids
// to leave the table; the child of a vfork or of a raw system call) work is done where it is asked
// for. One that is being started is waited for, at most a second (a filter may have killed it).
//
// Thread safety: all functions are thread-safe; not for signal handlers.
#ifndef MEND_RUNTIME_SAFEPOINT_APART_THREAD_H_
#define MEND_RUNTIME_SAFEPOINT_APART_THREAD_H_

#include "absl/functional/function_ref.h"

namespace mend {

// Starts it, unless this process has one.
void StartApartThread();

// In a forked child, which has none. REQUIRES: the caller is the only thread.
void ForgetApartThread();

// Returns after `work` has run: in the apart thread, or in the caller, whom no handler of the
// program's may leave meanwhile (Uninterrupted). REQUIRES of `work`: it takes no lock that anybody
// holds who calls this or who forks, runs nothing of the program's, does not call this, and leaves
// nothing open. There, relative paths begin at the root.
void RunApart(absl::FunctionRef<void()> work);

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_APART_THREAD_H_
