// The program's own limit to addresses (RLIMIT_AS), which is to be about the program's: what the
// runtime has reserved when the program begins comes on top, where the kernel is told of a limit,
// and is not seen by who asks for it.
//
// What the program executes inherits the limit as the program gave it, unless it is hosted itself:
// a hosted program could not start with less than the runtime needs.
//
// Thread safety: RecordRuntimeAddresses before there are threads of the program; the others are
// thread-safe, allocate nothing, and leave errno alone, also in the child of a vfork.
#ifndef MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_
#define MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_

namespace mend::jit {

// Right before the program's first code. Without it limits are what the program says, as in a host
// that embeds the runtime.
void RecordRuntimeAddresses();

// The scope of an exec, whose arguments it gets (execveat's): the process has the limit that the
// program gave. So it is for other threads meanwhile, which end with the exec. If that fails, the
// limit is as before, but for a hard one that the process may not raise: that stays as given.
class LimitOfExec {
 public:
  LimitOfExec(int folder, const char* path, int flags);
  ~LimitOfExec();
  LimitOfExec(const LimitOfExec&) = delete;
  LimitOfExec& operator=(const LimitOfExec&) = delete;

 private:
  bool is_lowered_ = false;
  unsigned long told_[2] = {};  // soft and hard
};

// The child has just begun to execute the file (posix_spawn's): it gets the limit that the program
// gave.
void LimitSpawned(int child, const char* path);

// In a forked child: the runtime's threads are to come, with their stacks and arenas of malloc. A
// limit that the child sets has room for them, and does not stop the program that much earlier.
void ExpectRuntimeThreads();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_
