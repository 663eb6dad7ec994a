// syscall(2), for programs and libraries (abseil, Rust and the like) that use the futex themselves,
// and for those that confine themselves.
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/credential_calls.h"
#include "jit/guest_libc/fork.h"
#include "jit/guest_libc/program_threads.h"
#include "jit/guest_libc/seccomp_filter.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/thread_calls.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::jit {
namespace {

// A variadic function of words: the words travel as fixed parameters of that number would, so it is
// defined with six of them, read whether or not they were passed.
MEND_NEXT(long, syscall, long, long, long, long, long, long, long);

bool IsFutexWait(long operation) {
  switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_WAIT_REQUEUE_PI:
      return true;
    default:
      return false;
  }
}

// FUTEX_WAIT alone takes a relative time-out; the others an absolute one.
long WaitOnFutex(long word, long operation, long value, long timeout, long word2, long value3) {
  const auto* limit = reinterpret_cast<const timespec*>(timeout);
  if ((operation & FUTEX_CMD_MASK) != FUTEX_WAIT) {
    return CallRestarting("futex", [&] {
      return next_syscall(SYS_futex, word, operation, value, timeout, word2, value3);
    });
  }
  return CallRestartingFor("futex", limit, [&](const timespec* left) {
    return next_syscall(SYS_futex, word, operation, value, reinterpret_cast<long>(left), word2,
                        value3);
  });
}

// Whether a child with these flags is a process as fork makes them: with a copy of everything, and
// with its parent free to go on.
bool IsFork(unsigned long flags, bool has_stack) {
  constexpr unsigned long kOthers = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_VFORK;
  return (flags & kOthers) == 0 && !has_stack;
}

bool IsFork(long number, long a, long b) {
  switch (number) {
    case SYS_fork:
      return true;
    case SYS_clone:
      return IsFork(static_cast<unsigned long>(a), b != 0);
    case SYS_clone3: {
      const auto* const arguments = reinterpret_cast<const clone_args*>(a);
      return arguments != nullptr && IsFork(arguments->flags, arguments->stack != 0);
    }
    default:
      return false;
  }
}

MEND_NEXT(int, prctl, int, long, long, long, long);

// A filter that kills threads would leave the runtime's when it has killed the program's only one,
// with which the process ends natively. Such a program gets one that kills the process instead.
class FilterForProcess {
 public:
  explicit FilterForProcess(const sock_fprog* filter) : given_(filter) {
    if (!ProgramHasOneThread() || filter->len > kInstructionsMax) return;
    for (size_t i = 0; i < filter->len; ++i) {
      instructions_[i] = filter->filter[i];
      const bool kills_thread =
          instructions_[i].code == (BPF_RET | BPF_K) &&
          (instructions_[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_KILL_THREAD;
      if (kills_thread) instructions_[i].k = SECCOMP_RET_KILL_PROCESS;
    }
    changed_ = {filter->len, instructions_};
  }
  FilterForProcess(const FilterForProcess&) = delete;
  FilterForProcess& operator=(const FilterForProcess&) = delete;

  long get() const {
    return reinterpret_cast<long>(changed_.filter == nullptr ? given_ : &changed_);
  }

 private:
  // On the stack: what malloc needs to free it may be what the filter forbids.
  static constexpr size_t kInstructionsMax = 1024;

  const sock_fprog* const given_;
  sock_fprog changed_ = {};
  sock_filter instructions_[kInstructionsMax];
};

// Makes a call that confines the calling thread to what `filter` allows.
template <typename Call>
auto Confine(long filter, Call call) {
  const auto allows = [&filter = *reinterpret_cast<const sock_fprog*>(filter)](int number) {
    return FilterAllows(filter, number);
  };
  if (!allows(SYS_sched_yield)) ThreadCalls::ForgoYield();
  if (!allows(SYS_futex)) ThreadCalls::ForgoWake();
  if (!allows(SYS_sched_getaffinity)) ThreadRegistry::Get().ForgoStackQuery();
  // What the signal's handler needs.
  if (allows(SYS_rt_sigreturn) && allows(SYS_getpid)) return call();
  ForgoSafepointSignal();
  // A signal that was sent before that arrives before the thread is in the region.
  const BlockedRegion region("seccomp");
  return call();
}

}  // namespace
}  // namespace mend::jit

// Variadic as syscall is.
MEND_INTERPOSE(int, prctl, int option, long a, long b, long c, long d) {
  using namespace mend::jit;
  if (option == PR_SET_SECCOMP && a == SECCOMP_MODE_FILTER && b != 0) {
    const FilterForProcess filter(reinterpret_cast<const sock_fprog*>(b));
    return Confine(b, [&] { return next_prctl(option, a, filter.get(), c, d); });
  }
  const int result = next_prctl(option, a, b, c, d);
  if (result == 0) FollowCredentials({SYS_prctl, {option, a, b, c, d}});
  return result;
}

MEND_INTERPOSE(long, syscall, long number, long a, long b, long c, long d, long e, long f) {
  using namespace mend::jit;
  switch (number) {
    case SYS_futex:
      if (IsFutexWait(b)) return WaitOnFutex(a, b, c, d, e, f);
      break;
    case SYS_seccomp:
      if (a != SECCOMP_SET_MODE_FILTER || c == 0) break;
      if ((b & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
        return Confine(c, [&] { return next_syscall(number, a, b, c, d, e, f); });
      } else {
        const FilterForProcess filter(reinterpret_cast<const sock_fprog*>(c));
        return Confine(c, [&] { return next_syscall(number, a, b, filter.get(), d, e, f); });
      }
    case SYS_fork:
    case SYS_clone:
    case SYS_clone3:
      if (!IsFork(number, a, b)) break;
      return ForkBy([&] { return next_syscall(number, a, b, c, d, e, f); });
    case SYS_execve:
      return ::execve(reinterpret_cast<const char*>(a), reinterpret_cast<char* const*>(b),
                      reinterpret_cast<char* const*>(c));
    case SYS_execveat:
      return ::execveat(static_cast<int>(a), reinterpret_cast<const char*>(b),
                        reinterpret_cast<char* const*>(c), reinterpret_cast<char* const*>(d),
                        static_cast<int>(e));
    case SYS_getrlimit:
      return ::getrlimit64(static_cast<int>(a), reinterpret_cast<rlimit64*>(b));
    case SYS_setrlimit:
      return ::setrlimit64(static_cast<int>(a), reinterpret_cast<const rlimit64*>(b));
    case SYS_prlimit64:
      return ::prlimit64(static_cast<pid_t>(a), static_cast<__rlimit_resource>(b),
                         reinterpret_cast<const rlimit64*>(c), reinterpret_cast<rlimit64*>(d));
    case SYS_setns:
      return ::setns(static_cast<int>(a), static_cast<int>(b));
    case SYS_exit:
      EndThreadByCall(static_cast<int>(a));
      break;
    case SYS_prctl:
      return mend_libc_prctl(static_cast<int>(a), b, c, d, e);
    // The calls that a program makes directly because libc had no name for them once.
    case SYS_futex_waitv:
    case SYS_io_getevents:
    case SYS_io_pgetevents:
    case SYS_io_uring_enter:
    case SYS_epoll_wait:
    case SYS_epoll_pwait2:
    case SYS_read:
    case SYS_write: {
      const mend::BlockedRegion region("syscall");
      return next_syscall(number, a, b, c, d, e, f);
    }
    default:
      break;
  }
  const long result = next_syscall(number, a, b, c, d, e, f);
  if (result == 0) FollowCredentials({number, {a, b, c, d, e}});
  return result;
}
