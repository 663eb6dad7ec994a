// makecontext, swapcontext and setcontext: a context of the program's is one of the registry's, so
// that a transition waits for what is on its stack, whichever thread runs it, or none.
//
// libc's own functions do the switching. They are told to arrive in a stub (context_stubs.S) first,
// which tells the registry, and goes on where the context was left. Between departure and arrival
// the program's signals are held back; so masks are not as the program sees them then, and are put
// right at the arrival: the thread's own, and the one that libc has saved with the context that was
// left.
//
// getcontext needs nothing. A context that was made otherwise (by hand, by getcontext and new
// registers) is known from when a thread first goes there; until then it has no hosted frame.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cstdint>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/signal_mask.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/thread_registry.h"

// context_stubs.S. A context begins or goes on in the first, above whose stack pointer the place
// stands; what a context's function returns to is the second.
extern "C" {
__attribute__((visibility("hidden"))) void mend_context_arrival();
__attribute__((visibility("hidden"))) void mend_context_end();
__attribute__((visibility("hidden"))) void MendContextArrived();
__attribute__((visibility("hidden"))) void MendContextEnded(const ucontext_t* next);
}

MEND_NEXT(int, swapcontext, ucontext_t*, const ucontext_t*);
MEND_NEXT(int, setcontext, const ucontext_t*);

namespace mend::jit {
namespace {

// From the thread at its departure to the same thread at its arrival.
struct Journey {
  ucontext_t* left;      // where libc saves the context that is left; null: nowhere
  KernelSignalSet mask;  // that belongs there
};
thread_local constinit Journey tls_journey __attribute__((tls_model("initial-exec"))) = {};

uintptr_t StackPointer(const ucontext_t& context) {
  return static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
}

// The way into `to` by the stub. REQUIRES: the thread has departed for it.
void ByArrivalStub(const ucontext_t& to, ucontext_t* left, ucontext_t* way) {
  memcpy(way, &to, sizeof *way);
  const KernelSignalSet mask = Uninterrupted::MaskBefore();
  tls_journey = {.left = left, .mask = mask};
  StoreKernelSet(mask | Uninterrupted::HeldBack(), &way->uc_sigmask);
  Uninterrupted::SetMaskAfter(ToKernelSet(to.uc_sigmask) & ~kHiddenSignalBit);
  // Nothing live is below the stack pointer of a context that a call has left.
  const uintptr_t place = StackPointer(to) - sizeof(uintptr_t);
  *reinterpret_cast<greg_t*>(place) = to.uc_mcontext.gregs[REG_RIP];
  way->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(place);
  way->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&mend_context_arrival);
}

// swapcontext; setcontext when `from` is null. Not inlined: it is the frame from which a suspended
// context is walked, and in which `mark` stands.
[[gnu::noinline]] int GoTo(ucontext_t* from, const ucontext_t* to) {
  const auto next = [from](const ucontext_t* way) {
    return from != nullptr ? next_swapcontext(from, way) : next_setcontext(way);
  };
  volatile uintptr_t mark = 0;
  RegisterContext here;
  mend::internal::CaptureRegisters(&here);
  if (!ThreadRegistry::Get().Depart(StackPointer(*to), here, const_cast<uintptr_t*>(&mark))) {
    return next(to);
  }
  ucontext_t way;
  ByArrivalStub(*to, from, &way);
  const int result = next(&way);
  mark = 0;
  return result;
}

// As the System V ABI has a function entered: six arguments in registers, the others above the
// return address, and the stack aligned there.
void MakeContext(ucontext_t* context, void (*function)(), int argument_count, va_list arguments) {
  constexpr int kRegisterArguments[] = {REG_RDI, REG_RSI, REG_RDX, REG_RCX, REG_R8, REG_R9};
  constexpr int kInRegisters = 6;
  greg_t* const registers = context->uc_mcontext.gregs;
  const auto low = reinterpret_cast<uintptr_t>(context->uc_stack.ss_sp);
  const uintptr_t high = low + context->uc_stack.ss_size;
  const uintptr_t on_stack =
      argument_count > kInRegisters ? static_cast<uintptr_t>(argument_count - kInRegisters) : 0;
  // From the top: the next context, the arguments, the return address.
  auto* const next = reinterpret_cast<ucontext_t**>((high & ~uintptr_t{15}) - 16);
  auto* const first = reinterpret_cast<greg_t*>((reinterpret_cast<uintptr_t>(next) - on_stack * 8) &
                                                ~uintptr_t{15});
  *next = context->uc_link;
  first[-1] = reinterpret_cast<greg_t>(&mend_context_end);
  registers[REG_RIP] = reinterpret_cast<greg_t>(function);
  registers[REG_RSP] = reinterpret_cast<greg_t>(first - 1);
  registers[REG_RBP] = 0;
  registers[REG_RBX] = reinterpret_cast<greg_t>(next);
  // libc passes whole registers, whatever the standard says.
  for (int i = 0; i < argument_count; ++i) {
    const greg_t argument = va_arg(arguments, greg_t);
    if (i < kInRegisters) {
      registers[kRegisterArguments[i]] = argument;
    } else {
      first[i - kInRegisters] = argument;
    }
  }
  if (!IsRegisteredThread()) return;
  ThreadRegistry::Get().PrepareContext({.low = low, .high = high});
}

}  // namespace
}  // namespace mend::jit

void MendContextArrived() {
  using namespace mend;
  const jit::Journey journey = jit::tls_journey;
  if (journey.left != nullptr) jit::StoreKernelSet(journey.mask, &journey.left->uc_sigmask);
  ThreadRegistry::Get().Arrive();
}

// As libc has it, a context without a next one ends the process.
void MendContextEnded(const ucontext_t* next) {
  using namespace mend;
  if (next == nullptr) exit(0);
  ucontext_t way;
  if (ThreadRegistry::Get().DepartForGood(jit::StackPointer(*next))) {
    jit::ByArrivalStub(*next, nullptr, &way);
    next = &way;
  }
  exit(next_setcontext(next));
}

MEND_INTERPOSE(void, makecontext, ucontext_t* context, void (*function)(), int argument_count,
               ...) {
  va_list arguments;
  va_start(arguments, argument_count);
  mend::jit::MakeContext(context, function, argument_count, arguments);
  va_end(arguments);
}

MEND_INTERPOSE(int, swapcontext, ucontext_t* from, const ucontext_t* to) {
  if (!mend::jit::IsRegisteredThread()) return next_swapcontext(from, to);
  return mend::jit::GoTo(from, to);
}

MEND_INTERPOSE(int, setcontext, const ucontext_t* to) {
  if (!mend::jit::IsRegisteredThread()) return next_setcontext(to);
  return mend::jit::GoTo(nullptr, to);
}
