#include "runtime/safepoint/hosted_call.h"

#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend {
namespace {

constexpr long kSetMask = 2;  // SIG_SETMASK

}  // namespace

HostedCall::HostedCall(const std::function<void()>& initialize_thread) {
  ThreadRegistry& registry = ThreadRegistry::Get();
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record != nullptr) {
    const Activity activity = record->AwaitUnclaimed();
    // A host's thread between two calls of hosted code.
    entered_ = activity == Activity::kOutside;
    if (entered_) registry.Enter();
    // A thread of the program that waits for the core, and now runs a callback for it.
    if (activity == Activity::kBlocked) unblocked_.emplace();
    return;
  }
  runtime_thread_ = registry.IsRuntimeThread();
  // Registering lets the safepoint signal through.
  RawSyscall(SYS_rt_sigprocmask, kSetMask, 0, reinterpret_cast<long>(&mask_), sizeof mask_);
  registered_ = registry.RegisterMainThread();
  if (initialize_thread != nullptr) initialize_thread();
}

HostedCall::~HostedCall() {
  ThreadRegistry& registry = ThreadRegistry::Get();
  if (entered_) registry.Leave();
  if (!registered_) return;
  registry.EndThread();
  if (runtime_thread_) registry.MarkRuntimeThread();
  RawSyscall(SYS_rt_sigprocmask, kSetMask, reinterpret_cast<long>(&mask_), 0, sizeof mask_);
}

}  // namespace mend
