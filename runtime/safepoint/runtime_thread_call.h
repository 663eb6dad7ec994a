// Makes the program's first thread and the runtime's threads one to the kernel where it tells
// threads apart.
//
// Why. Capabilities, their bounding set and whether they outlive a change of the user (KEEPCAPS)
// are a thread's own, and libc does not change them for others. A program of one thread need not
// know. The runtime's threads would stay as they were: with privileges that the program has given
// up, and, when libc makes the next setuid in all threads, with another result than the program's,
// for which libc aborts the process.
//
// How. Each thread of the runtime has a place in a table, from before it is created until its body
// has ended. Signals are blocked in these threads, but for the two by which libc reaches all
// threads; so a call borrows setuid's (33): for its time its own handler stands in front of libc's.
//
// Who calls it: guest_libc, after such a call of the program's first thread has succeeded;
// StartRuntimeThread. Thread safety: as said at each function.
#ifndef MEND_RUNTIME_SAFEPOINT_RUNTIME_THREAD_CALL_H_
#define MEND_RUNTIME_SAFEPOINT_RUNTIME_THREAD_CALL_H_

#include <sys/types.h>

#include <cstdint>

namespace mend {

// A system call of at most five arguments.
struct KernelCall {
  long number;
  long arguments[5];
};

// Makes the call in every thread of the runtime, also in those that are being created, and returns
// when all have made it, whatever came of it. Does nothing unless the caller is the process's first
// thread: another one may mean itself alone.
void RepeatInRuntimeThreads(const KernelCall& call) noexcept;

// The places of the runtime's threads. All are async-signal-safe and thread-safe.
inline constexpr int kNoPlace = -1;
// For a thread that the caller is about to create. kNoPlace: there are too many.
int TakeRuntimePlace() noexcept;
// The thread itself, first of all.
void EnterRuntimePlace(int place) noexcept;
// The thread itself, last of all; or its creator, when it could not be created.
void LeaveRuntimePlace(int place) noexcept;
// Whether a thread of this process has one. One that is being created may not be known yet.
bool IsInRuntimePlace(pid_t tid) noexcept;

// Waits, for some seconds at most, until all of the runtime's threads sleep: none is in an
// operation of libc's, which a child that libc does not know of would take over as it is. The
// caller holds what they would need to go on.
void AwaitRuntimeThreadsAsleep() noexcept;

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_RUNTIME_THREAD_CALL_H_
