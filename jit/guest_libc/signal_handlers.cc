// sigaction and its relatives: the program's handlers run inside a wrapper that takes an
// interrupted blocked region out of the coordinator's sight for as long as the handler runs.
//
// The kernel gets the wrapper with the program's own flags; the program's function is in a table.
// The kernel passes all three arguments on x86-64 whether or not SA_SIGINFO is set, so the flags
// need no change, and what the program asks for again is what it set. A signal that is ignored or
// has its default action goes to the kernel as it is, unless its default action is preceded by a
// report (crash_report.h), of which the program sees nothing. The table keeps the function then,
// for a delivery that is under way.
//
// Thread safety: all are async-signal-safe, as libc's are.
#include "jit/guest_libc/signal_table.h"

#include <errno.h>
#include <signal.h>

#include <atomic>
#include <bit>
#include <cstdint>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/crash_report.h"
#include "jit/guest_libc/signal_mask.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/blocked_region.h"

// Defined below, with the functions that interpose.
extern mend::jit::NextFunction<int(int, const struct sigaction*, struct sigaction*)> next_sigaction;

namespace mend::jit {

thread_local constinit std::atomic<uint32_t> tls_handlers_run{0};

namespace {

using Action = struct sigaction;
using Handler = void (*)(int, siginfo_t*, void*);
using PlainHandler = void (*)(int);

// One word for each signal: a handler reads it while another thread changes it, and must find
// either the old function or the new one. Written under table_lock.
constinit std::atomic<PlainHandler> handlers[kHiddenSignal + 1];
constinit std::atomic<bool> table_lock{false};

// The wrapper. Its thread may be anywhere in the program, in libc or in a blocked region.
void RunHandler(int signal_number, siginfo_t* info, void* context) {
  const SignalScope scope;
  // Relaxed: a nested handler counts in between, and only one change has to be seen.
  tls_handlers_run.store(tls_handlers_run.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
  // ORDER[G1]: what the program wrote before it installed the handler, before the handler reads it;
  // pairs with SetHandler.
  const PlainHandler handler = handlers[signal_number].load(std::memory_order_acquire);
  std::bit_cast<Handler>(handler)(signal_number, info, context);
}

// Held while the table and the kernel change together. No handler of the program interrupts the
// holder, so a handler that installs handlers does not wait for its own thread.
class TableLock {
 public:
  TableLock() {
    // ORDER[G2]: the last holder's changes before ours; pairs with ~TableLock.
    while (table_lock.exchange(true, std::memory_order_acquire)) YieldProcessor();
  }
  ~TableLock() {
    // ORDER[G2]: our changes before the next holder's; pairs with TableLock().
    table_lock.store(false, std::memory_order_release);
  }
  TableLock(const TableLock&) = delete;
  TableLock& operator=(const TableLock&) = delete;

 private:
  const Uninterrupted uninterrupted_;
};

// SIG_HOLD, which only sigset knows.
PlainHandler HoldHandler() { return reinterpret_cast<PlainHandler>(2); }

bool IsFunction(PlainHandler handler) {
  return handler != SIG_DFL && handler != SIG_IGN && handler != SIG_ERR && handler != HoldHandler();
}

bool IsSignal(int number) { return number > 0 && number <= kHiddenSignal; }

bool RefuseHidden(int number) {
  if (number != kHiddenSignal) return false;
  errno = EINVAL;
  return true;
}

// REQUIRES: a TableLock is held. Returns the function that was there.
PlainHandler SetHandler(int number, PlainHandler handler) {
  const PlainHandler before = handlers[number].load(std::memory_order_relaxed);
  if (IsFunction(handler)) {
    // ORDER[G1]: what the program wrote before the handler's address; pairs with RunHandler.
    // The table comes before the kernel: the wrapper must never find it empty.
    handlers[number].store(handler, std::memory_order_release);
  }
  return before;
}

PlainHandler Wrapper() { return std::bit_cast<PlainHandler>(&RunHandler); }

using ActionFunction = int(int, const Action*, Action*);

int SetAction(NextFunction<ActionFunction>& next, int number, const Action* action,
              Action* before) {
  if (RefuseHidden(number)) return -1;
  if (!IsSignal(number)) return next(number, action, before);
  const TableLock lock;
  const PlainHandler function_before = handlers[number].load(std::memory_order_relaxed);
  int result;
  if (action == nullptr) {
    result = next(number, nullptr, before);
  } else {
    Action wrapped = *action;
    StoreKernelSet(ToKernelSet(wrapped.sa_mask) & ~kHiddenSignalBit, &wrapped.sa_mask);
    SetHandler(number, wrapped.sa_handler);
    if (IsFunction(wrapped.sa_handler)) {
      wrapped.sa_handler = Wrapper();
    } else if (wrapped.sa_handler == SIG_DFL && IsReported(number)) {
      wrapped = ReportingAction();
    }
    result = next(number, &wrapped, before);
    if (result != 0) handlers[number].store(function_before, std::memory_order_relaxed);
  }
  if (result == 0 && before != nullptr && before->sa_handler == Wrapper()) {
    before->sa_handler = function_before;
  } else if (result == 0 && before != nullptr && IsReportingHandler(before->sa_handler)) {
    *before = Action{};
  }
  return result;
}

using SignalFunction = PlainHandler(int, PlainHandler);

PlainHandler SetSignal(NextFunction<SignalFunction>& next, int number, PlainHandler handler) {
  if (RefuseHidden(number)) return SIG_ERR;
  if (!IsSignal(number)) return next(number, handler);
  const TableLock lock;
  const PlainHandler function_before = SetHandler(number, handler);
  const PlainHandler result = next(number, IsFunction(handler) ? Wrapper() : handler);
  if (result == SIG_ERR) {
    handlers[number].store(function_before, std::memory_order_relaxed);
  } else if (handler == SIG_DFL && IsReported(number)) {
    const Action reporting = ReportingAction();
    next_sigaction(number, &reporting, nullptr);
  }
  if (IsReportingHandler(result)) return SIG_DFL;
  return result == Wrapper() ? function_before : result;
}

}  // namespace

void ResetSignalTableAfterFork() { table_lock.store(false, std::memory_order_relaxed); }

}  // namespace mend::jit

using mend::jit::RefuseHidden;

#define MEND_SIGACTION(name)                                               \
  MEND_NEXT(int, name, int, const mend::jit::Action*, mend::jit::Action*); \
  MEND_INTERPOSE(int, name, int number, const mend::jit::Action* action,   \
                 mend::jit::Action* before) {                              \
    return mend::jit::SetAction(next_##name, number, action, before);      \
  }
MEND_SIGACTION(sigaction)
MEND_SIGACTION(__sigaction)

#define MEND_SIGNAL(name)                                                                      \
  MEND_NEXT(mend::jit::PlainHandler, name, int, mend::jit::PlainHandler);                      \
  MEND_INTERPOSE(mend::jit::PlainHandler, name, int number, mend::jit::PlainHandler handler) { \
    return mend::jit::SetSignal(next_##name, number, handler);                                 \
  }
MEND_SIGNAL(signal)
MEND_SIGNAL(ssignal)
MEND_SIGNAL(sysv_signal)
MEND_SIGNAL(__sysv_signal)
#undef MEND_SIGNAL

// sigset also unblocks the signal: the program's signals must not be blocked for that by the lock,
// whose end would undo it. So the mask is left to a second step.
MEND_NEXT(mend::jit::PlainHandler, sigset, int, mend::jit::PlainHandler);
MEND_INTERPOSE(mend::jit::PlainHandler, sigset, int number, mend::jit::PlainHandler handler) {
  using namespace mend::jit;
  if (RefuseHidden(number)) return SIG_ERR;
  if (!IsSignal(number) || !IsFunction(handler)) {
    const PlainHandler result = next_sigset(number, handler);
    if (IsReportingHandler(result)) return SIG_DFL;
    if (result != Wrapper()) return result;
    return handlers[number].load(std::memory_order_relaxed);
  }
  const KernelSignalSet bit = KernelSignalSet{1} << (number - 1);
  Action action = {};
  action.sa_handler = handler;
  Action before;
  if (SetAction(next_sigaction, number, &action, &before) != 0) return SIG_ERR;
  const bool was_blocked = (ChangeKernelMask(SIG_UNBLOCK, bit) & bit) != 0;
  return was_blocked ? HoldHandler() : before.sa_handler;
}

#define MEND_SIGNAL_NUMBER(name, parameters, arguments)       \
  MEND_NEXT(int, name, MEND_UNWRAP parameters);               \
  MEND_INTERPOSE(int, name, MEND_UNWRAP parameters) {         \
    return RefuseHidden(number) ? -1 : next_##name arguments; \
  }
MEND_SIGNAL_NUMBER(sighold, (int number), (number))
MEND_SIGNAL_NUMBER(sigrelse, (int number), (number))
MEND_SIGNAL_NUMBER(sigignore, (int number), (number))
MEND_SIGNAL_NUMBER(siginterrupt, (int number, int interrupt), (number, interrupt))
