#include "tests/simulation/guest_calls.h"

#include <new>

#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::simulation {

void BlockedSleep(int64_t ns) {
  std::atomic<uint32_t> never{0};
  const BlockedRegion region("sleep");
  FutexWait(&never, 0, ns);
}

void RunInDynamicLoader(const std::function<void()>& call) {
  const BlockedRegion region("dlopen");
  const Uninterrupted uninterrupted;
  call();
}

void RunProgramHandler(const std::function<void()>& handler) {
  const SignalScope scope;
  handler();
}

void MakeContext(StackBounds stack) { ThreadRegistry::Get().PrepareContext(stack); }

bool DepartForContext(uintptr_t rsp, uintptr_t* mark) {
  if (mark == nullptr) return ThreadRegistry::Get().DepartForGood(rsp);
  const RegisterContext here{.rip = reinterpret_cast<uintptr_t>(&ThreadWordsOffset),
                             .rsp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0))};
  return ThreadRegistry::Get().Depart(rsp, here, mark);
}

void ArriveInContext() { ThreadRegistry::Get().Arrive(); }

bool PollIsSet() { return tls_thread_words.poll.load(std::memory_order_relaxed) != 0; }

uint32_t CallersEpoch() { return tls_thread_words.epoch.load(std::memory_order_relaxed); }

void ResetCore() {
  failpoint::DisarmAll();
  new (&Handshake::Get()) Handshake;
  new (&ThreadRegistry::Get()) ThreadRegistry;
}

}  // namespace mend::simulation
