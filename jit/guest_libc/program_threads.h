// What the thread functions share with fork, chroot and system calls that the program makes itself.
#ifndef MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_
#define MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_

namespace mend::jit {

// In the child of a fork only the calling thread is left.
void ForgetOtherThreadsAfterFork();

// Whether the hosted program has no thread but the calling one, which is the program's.
bool ProgramHasOneThread();

// SYS_exit: ends the calling thread past libc, without any destructor; with the program's last
// thread the process, which has that one's status. Returns in a process that is not the
// program's (the child of a vfork): there the call is the caller's.
void EndThreadByCall(int status);

// The program makes a call for which libc starts threads of its own.
void ExpectLibcsThreads();

// A scope in which a thread that libc has made by itself runs a function of the program, which has
// its thread-locals and counts. Within another one, and on threads that count, it does nothing.
class ProgramsFunctionScope {
 public:
  ProgramsFunctionScope();
  ~ProgramsFunctionScope();
  ProgramsFunctionScope(const ProgramsFunctionScope&) = delete;
  ProgramsFunctionScope& operator=(const ProgramsFunctionScope&) = delete;
};

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_PROGRAM_THREADS_H_
