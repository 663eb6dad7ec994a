#include "runtime/base/uninterrupted.h"

#include <pthread.h>
#include <signal.h>

#include "runtime/base/raw_syscall.h"

namespace mend {
namespace {

struct State {
  unsigned depth = 0;  // of nested scopes
  int cancel_state = PTHREAD_CANCEL_ENABLE;
  uint64_t mask = 0;  // these two: before the outermost one
};

thread_local constinit State tls_state __attribute__((tls_model("initial-exec"))) = {};

constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }

// libc keeps the first two real-time signals for itself.
constexpr uint64_t kHeldBack =
    ~(Bit(32) | Bit(33) | Bit(kSafepointSignal) | Bit(SIGSEGV) | Bit(SIGBUS) | Bit(SIGFPE) |
      Bit(SIGILL) | Bit(SIGTRAP) | Bit(SIGSYS));

// The kernel's call, since guest_libc keeps the safepoint signal out of masks.
uint64_t ChangeMask(int how, uint64_t mask) noexcept {
  uint64_t before = 0;
  RawSyscall(SYS_rt_sigprocmask, how, reinterpret_cast<long>(&mask),
             reinterpret_cast<long>(&before), sizeof mask);
  return before;
}

// A handler that interrupts these two finds the thread outside of every scope, and leaves it so.

void EnterOutermost(unsigned depth, int cancel_state) noexcept {
  tls_state.mask = ChangeMask(SIG_BLOCK, kHeldBack);
  tls_state.cancel_state = cancel_state;
  tls_state.depth = depth;
}

void LeaveOutermost() noexcept {
  tls_state.depth = 0;
  ChangeMask(SIG_SETMASK, tls_state.mask);
}

}  // namespace

void Uninterrupted::Begin() noexcept {
  if (tls_state.depth > 0) {
    ++tls_state.depth;
    return;
  }
  int cancel_state = PTHREAD_CANCEL_ENABLE;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  EnterOutermost(1, cancel_state);
}

void Uninterrupted::End() noexcept {
  if (tls_state.depth > 1) {
    --tls_state.depth;
    return;
  }
  const int cancel_state = tls_state.cancel_state;
  LeaveOutermost();
  pthread_setcancelstate(cancel_state, nullptr);
}

uint64_t Uninterrupted::MaskBefore() noexcept { return tls_state.mask; }
void Uninterrupted::SetMaskAfter(uint64_t mask) noexcept { tls_state.mask = mask; }
uint64_t Uninterrupted::HeldBack() noexcept { return kHeldBack; }

Uninterrupted::Pause::Pause() noexcept
    : depth_(tls_state.depth), cancel_state_(tls_state.cancel_state) {
  if (depth_ > 0) LeaveOutermost();
}

Uninterrupted::Pause::~Pause() {
  if (depth_ > 0) EnterOutermost(depth_, cancel_state_);
}

}  // namespace mend
