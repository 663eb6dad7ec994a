// The guest's libc: definitions of libc's functions that stand in front of libc's own for the whole
// process, because libmend.so comes first in its scope. They tell the runtime what it has to know
// of the program's threads: when one sleeps, begins, ends, forks, or runs a signal handler.
//
// Every definition calls the next one of its name (next_function.h), so other interposing libraries
// keep working. A thread that the runtime does not know passes straight through.
//
// Who calls what is declared here: the facade, once, while the process has one thread.
#ifndef MEND_JIT_GUEST_LIBC_GUEST_LIBC_H_
#define MEND_JIT_GUEST_LIBC_GUEST_LIBC_H_

#include <cstddef>
#include <cstdint>

#include "jit/link/memory_range.h"

namespace mend::jit {

// The signal of the safepoints: the last real-time signal. The program cannot see, block, handle or
// wait for it; its SIGRTMAX is the one below. The runtime must name it by number, since SIGRTMAX is
// the program's value inside libmend too, and must install its handler and change its mask by raw
// system calls, since the interposed functions refuse it.
inline constexpr int kHiddenSignal = 64;

// Called around fork, in the forking thread. prepare runs after all of the program's own
// pthread_atfork handlers, parent and child before them. A null member is skipped.
struct ForkHooks {
  void (*prepare)();
  void (*parent)();
  void (*child)();
};
void SetForkHooks(const ForkHooks& hooks);

// Called by every thread of the program that pthread_create made, when it is registered and before
// its start routine; the facade copies the initial images of thread-locals there.
void SetThreadStartHook(void (*hook)());

// Called by a thread of the program that ends past libc (SYS_exit), as the last: what the facade
// keeps of it is to go, and no destructor does that.
void SetThreadEndHook(void (*hook)());

// Called by whoever calls `exit`, before any handler or destructor runs. What libc ends by itself
// (error, err) does not come by.
void SetExitHook(void (*hook)());

// Called by a thread of the program's that is about to limit its user's threads (RLIMIT_NPROC).
void SetThreadLimitHook(void (*hook)());

// Which memory is hosted, for dl_iterate_phdr and dladdr: puts up to `max` ranges into `ranges`,
// from the one of number `from` on, and says how many. Called by any thread, for as long as the
// process lives.
using HostedMemoryHook = size_t (*)(size_t from, MemoryRange* ranges, size_t max);
void SetHostedMemoryHook(HostedMemoryHook hook);

// What the file is called that the hosted memory at an address comes from, for dladdr and
// backtrace_symbols; null: the executable.
void SetHostedFileHook(const char* (*hook)(uintptr_t address));

// Registers the calling thread as the main thread of a hosted program; call it before the first
// hosted frame. From then on the end of the program's last thread ends the process, as natively,
// although the runtime's own threads still run.
void RegisterProgramMainThread();

// From now on, an exec of the file that this process runs gets the assignment (NAME=VALUE) in its
// environment, unless that has the name already: a server that executes itself anew, for a
// connection or to be reconfigured, goes on with its options. Another process (a forked child) that
// does so gets `of_child`. Both must live for ever; null: none.
void PassToItself(const char* assignment, const char* of_child);

// From now on, a thread that dies of a fault or of abort(), as the program has set no handler of
// its own for that signal, first writes its stack to standard error, hosted functions with the
// patch whose version they are; then the process dies as it would have.
void ReportCrashes();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_GUEST_LIBC_H_
