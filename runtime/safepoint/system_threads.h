// What the operating system says of the threads of this process: the core's one reader of /proc.
// The simulation answers in its place. No file is opened in the program's table of descriptors
// where that can be helped (apart_thread.h).
//
// Thread safety: all functions are thread-safe. A thread may end at any time, so an answer may be
// old when it arrives.
#ifndef MEND_RUNTIME_SAFEPOINT_SYSTEM_THREADS_H_
#define MEND_RUNTIME_SAFEPOINT_SYSTEM_THREADS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/safepoint/stack_walker.h"

namespace mend {

// The calling process's id as others know it, and /proc: a process that was made in a PID namespace
// of its own has another one for itself. Its own, where no /proc says more.
pid_t ProcessIdOutside();

// All threads; empty when the system does not say.
std::vector<pid_t> SystemThreads();

// How many there are, by the calling thread alone; 0 when the system does not say.
size_t CountSystemThreads();

// Whether the thread blocks the signal, or is gone.
bool ThreadBlocksSignal(pid_t tid, int signal);

// Whether the kernel has the thread asleep.
bool ThreadSleeps(pid_t tid);

// Whether it has all of them asleep. The one that looks (apart_thread.h) counts as asleep: when
// this returns it uses nothing of libc's any more.
bool AllThreadsSleep(absl::Span<const pid_t> tids);

// The name that the system knows a thread by; "" when it is gone.
std::string ThreadName(pid_t tid);

// The mapping that the address lies in; {0, 0} if none.
StackBounds MappingAround(uintptr_t address);

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_SYSTEM_THREADS_H_
