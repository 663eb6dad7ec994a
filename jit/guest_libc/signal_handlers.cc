// sigaction and its relatives: the program's handlers run inside a wrapper that takes an
// interrupted blocked region out of the coordinator's sight for as long as the handler runs.
//
// The kernel gets the wrapper with the program's own flags. It has an entry for each of the
// program's functions (handler_entries.S), so that the kernel's own table says which function is a
// signal's: a change is the one system call that it is natively, and as atomic. The kernel passes
// all three arguments on x86-64 whether or not SA_SIGINFO is set, so the flags need no change, and
// what the program asks for again is what it set. A signal that is ignored or has its default
// action goes to the kernel as it is, unless its default action is preceded by a report
// (crash_report.h), of which the program sees nothing.
//
// Thread safety: all are async-signal-safe, as libc's are. There is no lock: a handler may
// interrupt any of them and call the same.
#include <errno.h>
#include <signal.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/crash_report.h"
#include "jit/guest_libc/signal_mask.h"
#include "runtime/safepoint/blocked_region.h"

// Defined below, with the functions that interpose.
extern mend::jit::NextFunction<int(int, const struct sigaction*, struct sigaction*)> next_sigaction;

namespace mend::jit {

thread_local constinit std::atomic<uint32_t> tls_handlers_run{0};

namespace {

// As handler_entries.S has them.
constexpr size_t kOwnEntries = 512;
constexpr size_t kEntries = kOwnEntries + kHiddenSignal + 1;
constexpr size_t kEntrySize = 16;

}  // namespace

extern "C" [[gnu::visibility("hidden")]] const char mend_handler_entries[kEntries * kEntrySize];

namespace {

using Action = struct sigaction;
using Handler = void (*)(int, siginfo_t*, void*);
using PlainHandler = void (*)(int);

// What the entries run: the first ones a function each, for good; behind them one for each signal,
// whose function changes, for a program with more functions than that.
constinit std::atomic<PlainHandler> handlers[kEntries];

PlainHandler Entry(size_t index) {
  return reinterpret_cast<PlainHandler>(
      reinterpret_cast<uintptr_t>(mend_handler_entries + index * kEntrySize));
}

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

// A signal's handler, between the program and the kernel, for one change of its action. Relaxed: a
// word of the table is written before the kernel gets its entry, and read when the kernel has
// delivered a signal to it. The kernel takes one lock for both, which orders what the program wrote
// before, too, as natively.
class Exchange {
 public:
  // REQUIRES: IsSignal(number).
  explicit Exchange(int number)
      : shared_(kOwnEntries + static_cast<size_t>(number)),
        shared_before_(handlers[shared_].load(std::memory_order_relaxed)) {}

  // What the kernel gets for what the program sets.
  PlainHandler ToKernel(PlainHandler handler) const {
    if (!IsFunction(handler)) return handler;
    for (size_t i = 0; i < kOwnEntries; ++i) {
      PlainHandler found = handlers[i].load(std::memory_order_relaxed);
      if (found == nullptr) {
        handlers[i].compare_exchange_strong(found, handler, std::memory_order_relaxed);
        if (found == nullptr) return Entry(i);
      }
      if (found == handler) return Entry(i);
    }
    // Two threads that change this signal at once may leave one's function with the other's flags.
    handlers[shared_].store(handler, std::memory_order_relaxed);
    return Entry(shared_);
  }

  // What the program is told of what the kernel had.
  PlainHandler ToProgram(PlainHandler handler) const {
    if (IsReportingHandler(handler)) return SIG_DFL;
    if (handler == Entry(shared_)) return shared_before_;
    // Wraps round below the first entry.
    const uintptr_t offset =
        reinterpret_cast<uintptr_t>(handler) - reinterpret_cast<uintptr_t>(mend_handler_entries);
    if (offset >= sizeof mend_handler_entries) return handler;
    return handlers[offset / kEntrySize].load(std::memory_order_relaxed);
  }

 private:
  const size_t shared_;  // the signal's own entry
  const PlainHandler shared_before_;
};

using ActionFunction = int(int, const Action*, Action*);

int SetAction(NextFunction<ActionFunction>& next, int number, const Action* action,
              Action* before) {
  if (RefuseHidden(number)) return -1;
  if (!IsSignal(number)) return next(number, action, before);
  const Exchange exchange(number);
  Action changed;
  if (action != nullptr) {
    changed = *action;
    StoreKernelSet(ToKernelSet(changed.sa_mask) & ~kHiddenSignalBit, &changed.sa_mask);
    changed.sa_handler = exchange.ToKernel(changed.sa_handler);
    if (changed.sa_handler == SIG_DFL && IsReported(number)) changed = ReportingAction();
    action = &changed;
  }
  const int result = next(number, action, before);
  if (result != 0 || before == nullptr) return result;
  if (IsReportingHandler(before->sa_handler)) *before = Action{};
  before->sa_handler = exchange.ToProgram(before->sa_handler);
  return result;
}

using SignalFunction = PlainHandler(int, PlainHandler);

PlainHandler SetSignal(NextFunction<SignalFunction>& next, int number, PlainHandler handler) {
  if (RefuseHidden(number)) return SIG_ERR;
  if (!IsSignal(number)) return next(number, handler);
  const Exchange exchange(number);
  if (handler == SIG_DFL && IsReported(number)) {
    const Action reporting = ReportingAction();
    Action before;
    if (next_sigaction(number, &reporting, &before) != 0) return SIG_ERR;
    return exchange.ToProgram(before.sa_handler);
  }
  return exchange.ToProgram(next(number, exchange.ToKernel(handler)));
}

}  // namespace

// The wrapper, entered by one of the entries. Its thread may be anywhere in the program, in libc or
// in a blocked region.
extern "C" [[gnu::visibility("hidden")]] void MendRunHandler(int signal_number, siginfo_t* info,
                                                             void* context, size_t index) {
  const SignalScope scope;
  // Relaxed: a nested handler counts in between, and only one change has to be seen.
  tls_handlers_run.store(tls_handlers_run.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
  const PlainHandler handler = handlers[index].load(std::memory_order_relaxed);
  std::bit_cast<Handler>(handler)(signal_number, info, context);
}

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
MEND_SIGNAL(bsd_signal)
MEND_SIGNAL(ssignal)
MEND_SIGNAL(sysv_signal)
MEND_SIGNAL(__sysv_signal)
#undef MEND_SIGNAL

MEND_NEXT(mend::jit::PlainHandler, sigset, int, mend::jit::PlainHandler);
MEND_INTERPOSE(mend::jit::PlainHandler, sigset, int number, mend::jit::PlainHandler handler) {
  using namespace mend::jit;
  if (RefuseHidden(number)) return SIG_ERR;
  if (!IsSignal(number)) return next_sigset(number, handler);
  const Exchange exchange(number);
  return exchange.ToProgram(next_sigset(number, exchange.ToKernel(handler)));
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
