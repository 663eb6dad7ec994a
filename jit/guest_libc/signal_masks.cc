// Masks and sets of signals, and the signal stack: the program never blocks or takes the signal of
// the safepoints, and never sees it.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/signal_mask.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::jit {

KernelSignalSet ChangeKernelMask(int how, KernelSignalSet set) {
  KernelSignalSet before = 0;
  RawSyscall(SYS_rt_sigprocmask, how, reinterpret_cast<long>(&set), reinterpret_cast<long>(&before),
             sizeof set);
  return before;
}

}  // namespace mend::jit

using mend::jit::kHiddenSignal;
using mend::jit::VisibleSet;

#define MEND_CHANGE_MASK(name)                                                \
  MEND_NEXT(int, name, int, const sigset_t*, sigset_t*);                      \
  MEND_INTERPOSE(int, name, int how, const sigset_t* set, sigset_t* before) { \
    const VisibleSet visible(set);                                            \
    return next_##name(how, visible.get(), before);                           \
  }
MEND_CHANGE_MASK(sigprocmask)
MEND_CHANGE_MASK(pthread_sigmask)

MEND_NEXT(int, signalfd, int, const sigset_t*, int);
MEND_INTERPOSE(int, signalfd, int fd, const sigset_t* set, int flags) {
  const VisibleSet visible(set);
  return next_signalfd(fd, visible.get(), flags);
}

MEND_NEXT(int, pthread_attr_setsigmask_np, pthread_attr_t*, const sigset_t*);
MEND_INTERPOSE(int, pthread_attr_setsigmask_np, pthread_attr_t* attributes, const sigset_t* set) {
  const VisibleSet visible(set);
  return next_pthread_attr_setsigmask_np(attributes, visible.get());
}

MEND_NEXT(int, sigpending, sigset_t*);
MEND_INTERPOSE(int, sigpending, sigset_t* set) {
  const int result = next_sigpending(set);
  if (result == 0) {
    mend::jit::StoreKernelSet(mend::jit::ToKernelSet(*set) & ~mend::jit::kHiddenSignalBit, set);
  }
  return result;
}

// What the macro SIGRTMAX is, in the program as in its libraries.
MEND_INTERPOSE(int, __libc_current_sigrtmax) { return kHiddenSignal - 1; }

// Hands out real-time signals from either end.
MEND_NEXT(int, __libc_allocate_rtsig, int);
MEND_INTERPOSE(int, __libc_allocate_rtsig, int from_high) {
  const int number = next___libc_allocate_rtsig(from_high);
  return number == kHiddenSignal ? next___libc_allocate_rtsig(from_high) : number;
}

MEND_NEXT(int, sigaltstack, const stack_t*, stack_t*);
MEND_INTERPOSE(int, sigaltstack, const stack_t* stack, stack_t* before) {
  // Copied: both may be the same object.
  const stack_t wanted = stack != nullptr ? *stack : stack_t{};
  const int result = next_sigaltstack(stack, before);
  if (result != 0 || stack == nullptr || !mend::jit::IsRegisteredThread()) return result;
  mend::StackBounds bounds;
  if ((wanted.ss_flags & SS_DISABLE) == 0) {
    bounds.low = reinterpret_cast<uintptr_t>(wanted.ss_sp);
    bounds.high = bounds.low + wanted.ss_size;
  }
  mend::ThreadRegistry::Get().SetAlternateStack(bounds);
  return result;
}
