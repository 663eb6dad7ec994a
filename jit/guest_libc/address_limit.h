// The program's own limits to addresses (RLIMIT_AS) and to data (RLIMIT_DATA, which counts all
// private memory that can be written), which are to be about the program's: what the runtime has
// when the program begins comes on top, where the kernel is told of a limit, and is not seen by who
// asks for it. For a limit to data so does what the runtime takes to be operated.
//
// A limit that is there at the start is a limit of the program's, too: the kernel is told of more,
// as far as the process may raise it. Where it may not, and it is one to addresses, malloc gets
// fewer arenas, unless MALLOC_ARENA_MAX says how many.
//
// What the program executes inherits the limits as the program gave it. Of one that is hosted
// itself only the soft limit is lowered, which it raises anew: it could not start with less than
// the runtime needs.
//
// Thread safety: the first two before there are threads of the program; the others are
// thread-safe, allocate nothing, and leave errno alone, also in the child of a vfork.
#ifndef MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_
#define MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_

namespace mend::jit {

constexpr int kMemoryLimits = 2;

// Before the runtime takes anything.
void RaiseInheritedLimits();

// Right before the program's first code. Without it limits are what the program says, as in a host
// that embeds the runtime.
void RecordRuntimeMemory();

// The scope of an exec, whose arguments it gets (execveat's): the process has the limits that the
// program gave. So it is for other threads meanwhile, which end with the exec. If that fails, the
// limits are as before, but for a hard one that the process may not raise: that stays as given.
class LimitOfExec {
 public:
  LimitOfExec(int folder, const char* path, int flags);
  ~LimitOfExec();
  LimitOfExec(const LimitOfExec&) = delete;
  LimitOfExec& operator=(const LimitOfExec&) = delete;

 private:
  struct Lowered {
    bool is_lowered = false;
    unsigned long soft = 0;  // as the kernel was told
    unsigned long hard = 0;
  };
  Lowered lowered_[kMemoryLimits];
};

// The child has just begun to execute the file (posix_spawn's): it gets the limits that the
// program gave.
void LimitSpawned(int child, const char* path);

// A command for the shell, whose process is not known (system's, popen's): where the kernel was
// told of another limit than the program gave, the shell first gives itself that. Allocates then.
class ShellCommand {
 public:
  explicit ShellCommand(const char* command);
  ~ShellCommand();
  ShellCommand(const ShellCommand&) = delete;
  ShellCommand& operator=(const ShellCommand&) = delete;
  const char* get() const { return limited_ != nullptr ? limited_ : command_; }

 private:
  const char* command_;
  char* limited_ = nullptr;
};

// In a forked child: the runtime's threads are to come, with their stacks and arenas of malloc. A
// limit that the child sets has room for them, and does not stop the program that much earlier.
void ExpectRuntimeThreads();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_
