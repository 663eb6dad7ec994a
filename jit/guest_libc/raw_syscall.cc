// syscall(2), for programs and libraries (abseil, Rust and the like) that use the futex themselves.
#include <linux/futex.h>
#include <sys/syscall.h>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/signal_mask.h"

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

}  // namespace
}  // namespace mend::jit

MEND_INTERPOSE(long, syscall, long number, long a, long b, long c, long d, long e, long f) {
  using namespace mend::jit;
  switch (number) {
    case SYS_futex:
      if (IsFutexWait(b)) return WaitOnFutex(a, b, c, d, e, f);
      break;
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
  return next_syscall(number, a, b, c, d, e, f);
}
