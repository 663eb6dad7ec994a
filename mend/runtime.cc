#include "mend/runtime.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "mend/compile.h"
#include "mend/host.h"
#include "runtime/base/read_file.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/runtime_thread.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unregistered_stack.h"

namespace mend {
namespace {

TimeoutPolicy PolicyOf(OnTimeout on_timeout) {
  switch (on_timeout) {
    case OnTimeout::kReverse:
      return TimeoutPolicy::kReverse;
    case OnTimeout::kWait:
      return TimeoutPolicy::kWait;
    case OnTimeout::kForce:
      return TimeoutPolicy::kForce;
  }
  return TimeoutPolicy::kReverse;
}

// The transition timed out. Names who held it up.
absl::Status ReversedError(const VerbReport& report) {
  std::string text = absl::StrCat("patch '", report.patch, "': ");
  if (report.stragglers.empty()) {
    absl::StrAppend(&text, "not every thread switched in time");
  } else {
    const ThreadStatus& thread = report.stragglers.front();
    absl::StrAppend(&text, "held up by ", thread.name);
    if (thread.tid != 0) absl::StrAppend(&text, " (", thread.tid, ")");
    if (!thread.straggler_function.empty()) {
      absl::StrAppend(&text, " in ", thread.straggler_function);
    }
  }
  return absl::DeadlineExceededError(absl::StrCat(text, "; reversed"));
}

absl::Status StatusOf(const absl::StatusOr<VerbReport>& report) {
  if (!report.ok()) return report.status();
  return report->outcome == Outcome::kReversed ? ReversedError(*report) : absl::OkStatus();
}

ApplyReport SummaryOf(const ApplyResult& report) {
  ApplyReport summary{.patch = report.patch,
                      .already_applied = report.outcome == Outcome::kNothingToDo,
                      .complete = report.outcome == Outcome::kComplete,
                      .held = report.outcome == Outcome::kCanary,
                      .functions = {},
                      .link_ns = report.link_ns,
                      .switch_ns = 0,
                      .last_straggler = ""};
  for (const FunctionStatus& function : report.functions) {
    if (!function.nop) summary.functions.push_back(function.name);
  }
  if (report.transition.has_value()) {
    summary.switch_ns = report.transition->switch_ns;
    summary.last_straggler = report.transition->last_straggler;
  }
  return summary;
}

}  // namespace

namespace internal {

HostedScope::HostedScope() {
  // A host's own thread may meet hosted thread-locals here for the first time.
  Host::Get()->session().InitializeThread();
  ThreadRegistry::Get().Enter();
}
HostedScope::~HostedScope() { ThreadRegistry::Get().Leave(); }

bool EnterBlocked(const Anchor& anchor) noexcept {
  ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record == nullptr || record->activity.Get() != Activity::kRunning) return false;
  static_assert(sizeof(RegisterContext) == sizeof(Anchor));
  std::memcpy(&record->anchor, &anchor, sizeof anchor);
  static constexpr char kCall[] = "a host call";
  record->blocked_in.store(kCall, std::memory_order_relaxed);
  if (!record->stack.Contains(record->anchor.rsp)) NoticeStack(*record, record->anchor, kCall);
  record->activity.Set(Activity::kBlocked);
  record->AwaitSignal();
  return true;
}

void LeaveBlocked() noexcept {
  ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (!record->activity.TryResume(Activity::kBlocked, Activity::kRunning)) {
    LeaveBlockedSlowPath(record);
  }
}

void DepartForStack(const void* destination, const Anchor& anchor, uintptr_t* mark) noexcept {
  RegisterContext here;
  std::memcpy(&here, &anchor, sizeof here);
  ThreadRegistry::Get().Depart(reinterpret_cast<uintptr_t>(destination), here, mark);
}

}  // namespace internal

ForeignStack::ForeignStack(void* low, size_t size)
    : low_(reinterpret_cast<uintptr_t>(low)), high_(low_ + size) {
  ThreadRegistry::Get().PrepareContext({.low = low_, .high = high_});
}

ForeignStack::~ForeignStack() {
  ThreadRegistry::Get().ForgetContextOn({.low = low_, .high = high_});
}

void StackSwitch::Arrive() noexcept { ThreadRegistry::Get().Arrive(); }

struct Runtime::Impl {
  Host* host = nullptr;

  // Subscriptions: one thread each, told to end by the flag and awaited by its event log read.
  struct Subscription {
    EventLog* events = nullptr;
    std::function<void(const std::string&)> on_event;
    std::atomic<bool> ended{false};
    pthread_t thread{};
  };
  Mutex mu;
  std::vector<std::unique_ptr<Subscription>> subscriptions ABSL_GUARDED_BY(mu);

  static void* Deliver(void* argument) {
    Subscription& subscription = *static_cast<Subscription*>(argument);
    uint64_t seen = 0;
    // Relaxed: a flag of its own, nothing is published through it.
    while (!subscription.ended.load(std::memory_order_relaxed)) {
      for (const Event& event : subscription.events->ReadAfter(seen, absl::Milliseconds(100))) {
        seen = event.seq;
        if (!event.text.empty()) subscription.on_event(event.text);
      }
    }
    return nullptr;
  }
};

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  HostOptions host_options;
  host_options.name = options.name;
  host_options.socket = options.socket;
  host_options.log = options.log.empty() ? "/dev/null" : options.log;
  host_options.poke_interval = options.poke_interval;
  host_options.debugger = options.debugger;
  host_options.perf = options.perf;
  const absl::StatusOr<Host*> host = Host::Create(host_options);
  if (!host.ok()) return host.status();
  if (options.serve) {
    if (absl::Status status = (*host)->Serve(); !status.ok()) {
      (*host)->Retire();
      return status;
    }
  }
  auto impl = std::make_unique<Impl>();
  impl->host = *host;
  return std::unique_ptr<Runtime>(new Runtime(std::move(impl)));
}

Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Runtime::~Runtime() {
  {
    const MutexLock lock(&impl_->mu);
    for (const auto& subscription : impl_->subscriptions) {
      subscription->ended.store(true, std::memory_order_relaxed);
      JoinRuntimeThread(subscription->thread);
    }
  }
  impl_->host->Retire();
}

absl::Status Runtime::Load(const std::string& file) {
  absl::StatusOr<std::vector<CompiledObject>> compiled = CompileFile(file);
  if (!compiled.ok()) return compiled.status();
  const std::string name = std::filesystem::path(file).filename().string();
  const internal::HostedScope scope;
  if (absl::Status status = impl_->host->Load(name, *std::move(compiled)); !status.ok()) {
    return status;
  }
  char* no_arguments[] = {nullptr};
  impl_->host->session().RunInitializers(0, no_arguments, environ);
  return absl::OkStatus();
}

absl::StatusOr<void*> Runtime::LookupAddress(const std::string& name) const {
  const absl::StatusOr<FunctionSite> site = impl_->host->session().FindFunction(name);
  if (!site.ok()) return site.status();
  return reinterpret_cast<void*>(site->entry.value);
}

absl::StatusOr<ApplyReport> Runtime::Apply(const std::string& module_file,
                                           const ApplyRequest& request) {
  const absl::StatusOr<std::string> bytes = ReadFile(module_file);
  if (!bytes.ok()) return bytes.status();
  const WaitPolicy wait{.timeout = request.timeout,
                        .on_timeout = PolicyOf(request.on_timeout),
                        .no_wait = !request.wait};
  ApplyOptions options{.wait = wait, .parameters = {}, .canary = {}};
  if (!request.canary.empty()) {
    absl::StatusOr<CanarySpec> canary = ParseCanary(request.canary);
    if (!canary.ok()) return canary.status();
    options.canary = *std::move(canary);
  }
  const absl::StatusOr<ApplyResult> report = impl_->host->patches().Apply(*bytes, options);
  if (!report.ok()) return report.status();
  if (report->outcome == Outcome::kReversed) return ReversedError(*report);
  return SummaryOf(*report);
}

absl::Status Runtime::Disable(const std::string& patch, absl::Duration timeout) {
  return StatusOf(impl_->host->patches().Disable(patch, {.timeout = timeout}));
}
absl::Status Runtime::Promote(const std::string& patch, absl::Duration timeout) {
  return StatusOf(impl_->host->patches().Promote(patch, {.timeout = timeout}));
}
absl::Status Runtime::Reverse(const std::string& patch) {
  return StatusOf(impl_->host->patches().Reverse(patch));
}
absl::Status Runtime::Force(const std::string& patch) {
  return StatusOf(impl_->host->patches().Force(patch));
}
void Runtime::IgnoreUnregisteredStacks(bool ignore) { mend::IgnoreUnregisteredStacks(ignore); }
absl::Status Runtime::Remove(const std::string& patch) {
  return StatusOf(impl_->host->patches().Remove(patch));
}

std::vector<PatchSummary> Runtime::Patches() const {
  std::vector<PatchSummary> patches;
  for (const PatchStatus& patch : impl_->host->registry().Status().patches) {
    patches.push_back(
        {.name = patch.name, .enabled = patch.enabled, .in_transition = patch.transition});
  }
  return patches;
}

absl::Status Runtime::Subscribe(std::function<void(const std::string& text)> on_event) {
  auto subscription = std::make_unique<Impl::Subscription>();
  subscription->events = &impl_->host->events();
  subscription->on_event = std::move(on_event);
  const MutexLock lock(&impl_->mu);
  absl::Status started =
      StartRuntimeThread("mend-events", Impl::Deliver, subscription.get(), &subscription->thread);
  if (started.ok()) impl_->subscriptions.push_back(std::move(subscription));
  return started;
}

}  // namespace mend
