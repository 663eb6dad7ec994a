// Fork, by handlers of pthread_atfork: fork, daemon, forkpty and whatever else forks inside libc
// run them; system calls that fork, and clone, do without (raw_syscall.cc, clone_call.cc). They are
// registered before the program's, so that prepare comes after all of the program's (which may take
// locks that other threads hold while they wait for the runtime), and parent and child come before
// them.
//
// vfork and posix_spawn are left alone (but for a limit, exec.cc): their child runs no hosted code
// but calls of the kernel, and _Fork runs no handlers by its definition.
#include "jit/guest_libc/fork.h"

#include <pthread.h>
#include <sys/syscall.h>

#include "jit/guest_libc/address_limit.h"
#include "jit/guest_libc/exec.h"
#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/program_threads.h"
#include "runtime/base/check.h"
#include "runtime/base/own_allocations.h"

namespace mend::jit {
namespace {

// Set once, before there are other threads.
ForkHooks fork_hooks = {};

}  // namespace

// Between the program's handlers of before and after, which may have locked its malloc.

void PrepareFork() {
  const OwnAllocations own;
  if (fork_hooks.prepare != nullptr) fork_hooks.prepare();
}

void ParentAfterFork() {
  const OwnAllocations own;
  if (fork_hooks.parent != nullptr) fork_hooks.parent();
}

void ChildAfterFork() {
  const OwnAllocations own;
  RememberProcess();
  ForgetOtherThreadsAfterFork();
  ExpectRuntimeThreads();
  if (fork_hooks.child != nullptr) fork_hooks.child();
}

namespace {

[[gnu::constructor(101)]] void RegisterHandlers() {
  RememberProcess();
  MEND_CHECK(pthread_atfork(&PrepareFork, &ParentAfterFork, &ChildAfterFork) == 0,
             "no memory for the fork handlers");
}

}  // namespace

void SetForkHooks(const ForkHooks& hooks) { fork_hooks = hooks; }

}  // namespace mend::jit
