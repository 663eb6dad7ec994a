// clone(3) for a process of its own, as sandboxes make them: the child is one like those of fork,
// but for the stack that it begins on, and that it ends with its function.
//
// Threads and processes that share memory or more are left alone (raw_syscall.cc has the same).
#include <sched.h>
#include <sys/types.h>

#include <cstdint>

#include "jit/guest_libc/fork.h"
#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/program_threads.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::jit {
namespace {

using Function = int (*)(void*);

struct ChildStart {
  Function function;
  void* argument;
};

// The child's, on its stack. `argument` is its own copy of what the parent has on another.
int RunChild(void* argument) {
  const ChildStart start = *static_cast<const ChildStart*>(argument);
  ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  // Not known yet: what blocks meanwhile is not on a stack of the program's own making.
  if (record != nullptr) record->stack = {};
  ChildAfterFork();
  if (record != nullptr) {
    record->stack = MappingAround(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  }
  const int status = start.function(start.argument);
  // Libc ends the thread, and natively the process with it.
  EndThreadByCall(status);
  return status;
}

bool MakesProcess(int flags) {
  constexpr int kShared =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK | CLONE_SETTLS;
  return (flags & kShared) == 0;
}

}  // namespace
}  // namespace mend::jit

// Variadic from the fifth parameter on: what was not passed is read, and not used.
MEND_NEXT(int, clone, mend::jit::Function, void*, int, void*, pid_t*, void*, pid_t*);
MEND_INTERPOSE(int, clone, mend::jit::Function function, void* stack, int flags, void* argument,
               pid_t* parent_id, void* tls, pid_t* child_id) {
  using namespace mend::jit;
  if (function == nullptr || stack == nullptr || !MakesProcess(flags)) {
    return next_clone(function, stack, flags, argument, parent_id, tls, child_id);
  }
  ChildStart start = {function, argument};
  // The child does not return here.
  return static_cast<int>(ForkBy(
      [&] { return next_clone(&RunChild, stack, flags, &start, parent_id, tls, child_id); }));
}
