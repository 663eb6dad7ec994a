// exit, before what it does.
#include <atomic>

#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/next_function.h"

namespace mend::jit {
namespace {

// Relaxed: set before the program runs.
constinit std::atomic<void (*)()> exit_hook{nullptr};

}  // namespace

void SetExitHook(void (*hook)()) { exit_hook.store(hook, std::memory_order_relaxed); }

}  // namespace mend::jit

MEND_NEXT(void, exit, int);
MEND_INTERPOSE(void, exit, int status) {
  if (auto* const hook = mend::jit::exit_hook.load(std::memory_order_relaxed)) hook();
  next_exit(status);
  __builtin_unreachable();
}
