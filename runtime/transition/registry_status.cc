// The registry's views: what status and the list of threads show.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/registry_state.h"

namespace mend {
namespace {

PatchStatus StatusOf(const Patch& patch) {
  PatchStatus status;
  status.name = patch.name;
  status.enabled = patch.enabled;
  status.replace = patch.replace;
  status.replace_set = patch.replace_set;
  status.forced = patch.forced;
  status.content_hash = patch.content_hash;
  status.parameters = patch.parameters.Names();
  status.file = patch.file;
  status.allow_inlined = patch.allow_inlined;
  status.parameter_values = patch.parameters.Values();
  for (const PatchObject& object : patch.objects) {
    status.objects.push_back({.name = object.name, .patched = object.patched});
    for (const PatchFunction& function : object.functions) {
      status.functions.push_back({.object = object.name,
                                  .name = function.old.name,
                                  .sympos = std::max(function.old.sympos, 1u),
                                  .reason = function.reason,
                                  .detail = function.detail,
                                  .nop = function.nop});
      if (patch.module == nullptr) status.text_bytes += function.new_text.size();
    }
  }
  if (patch.module != nullptr) status.text_bytes = patch.module->text_bytes();
  return status;
}

// A third of a second: longer than it takes a running thread to be signalled a few times.
constexpr int64_t kExamineNs = 333'000'000;

// A thread that has begun and not ended, or a suspended context, without its part in a transition.
std::optional<ThreadStatus> ThreadOf(const ThreadRecord& record) {
  ThreadStatus thread;
  thread.activity = record.activity.Get();
  if (thread.activity == Activity::kGone) return std::nullopt;
  if (record.suspended.load(std::memory_order_relaxed)) {
    thread.name = kSuspendedContext;
    return thread;
  }
  thread.tid = record.tid.load(std::memory_order_relaxed);
  if (thread.tid == 0) return std::nullopt;
  thread.name = ThreadName(thread.tid);
  const char* const blocked_in = record.blocked_in.load(std::memory_order_relaxed);
  if (thread.activity == Activity::kBlocked && blocked_in != nullptr) {
    thread.blocked_in = blocked_in;
  }
  return thread;
}

}  // namespace

CoreStatus PatchRegistry::State::StatusLocked() const {
  CoreStatus status;
  for (const std::unique_ptr<Patch>& patch : patches_) {
    PatchStatus view = StatusOf(*patch);
    const auto at = std::find(active_.begin(), active_.end(), patch.get());
    if (at != active_.end()) view.stack_order = static_cast<unsigned>(at - active_.begin()) + 1;
    view.transition = transition_ != nullptr && transition_->patch() == patch.get();
    status.patches.push_back(std::move(view));
  }
  const SwitchRequest* request = nullptr;
  if (transition_ != nullptr) {
    status.transition = transition_->patch()->name;
    status.transition_patching = transition_->target_patched();
    status.transition_age_ns = MonotonicNs() - begin_ns_;
    if (transition_->published()) request = &transition_->request();
    status.canary = transition_->canary();
    status.canary_held = CanaryHeldLocked();
  }
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (record->activity.Get() == Activity::kGone) continue;
    ++status.threads_total;
    if (request == nullptr || !request->Asks(*record)) continue;
    // ORDER[T5]: pairs with Handshake::Attempt.
    if (record->ack.load(std::memory_order_acquire) < request->generation) ++status.threads_left;
  }
  return status;
}

void PatchRegistry::State::DescribeHoldLocked(const ThreadRecord& record,
                                              const SwitchRequest& request,
                                              ThreadStatus* thread) const {
  // ORDER[T5]: pairs with Handshake::Attempt.
  if (record.ack.load(std::memory_order_acquire) >= request.generation) return;
  thread->straggler = coordinator_.StragglerOf(record, request.epoch);
  if (!thread->straggler.pc.is_null()) {
    thread->straggler_function = loader_->Describe(thread->straggler.pc);
  }
}

std::vector<ThreadStatus> PatchRegistry::State::ExamineLocked(const Patch& patch) {
  std::vector<CodeRange> text;
  for (const PatchObject& object : patch.objects) {
    if (object.loaded == nullptr) continue;
    for (const PatchFunction& function : object.functions) {
      const Redirection& redirection = *table_.Of(function.old);
      text.push_back(redirection.TextOf(redirection.versions.top()));
      text.push_back({function.old.entry, function.old.entry + kEntryStubSize});
    }
  }
  std::vector<FunctionSite> all_held = patch.held;
  for (const PatchObject& object : patch.objects) {
    all_held.insert(all_held.end(), object.held.begin(), object.held.end());
  }
  for (const auto& [module, units] : units_) {
    all_held.insert(all_held.end(), units.begin(), units.end());
  }
  for (const FunctionSite& held : all_held) {
    if (held.entry.is_null()) continue;
    const Redirection* const redirection = table_.Find(held.entry);
    text.push_back({held.entry, held.entry + static_cast<size_t>(held.size)});
    if (redirection != nullptr) text.push_back(redirection->TextOf(redirection->versions.top()));
  }
  // What earlier looks of this epoch found is no answer to this one.
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    record->straggler.transition_epoch.store(0, std::memory_order_relaxed);
  }
  LookLocked(std::move(text));
  std::vector<ThreadStatus> held_up;
  if (AwaitLookLocked(kExamineNs)) return held_up;
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    std::optional<ThreadStatus> thread = ThreadOf(*record);
    // ORDER[T5]: pairs with Handshake::Attempt.
    if (!thread.has_value() || record->ack.load(std::memory_order_acquire) >= look_->generation) {
      continue;
    }
    thread->patch_state = 0;
    DescribeHoldLocked(*record, *look_, &*thread);
    held_up.push_back(*std::move(thread));
  }
  return held_up;
}

std::vector<ThreadStatus> PatchRegistry::State::ThreadsLocked() const {
  std::vector<ThreadStatus> threads;
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    std::optional<ThreadStatus> found = ThreadOf(*record);
    if (!found.has_value()) continue;
    ThreadStatus& thread = *found;
    // Of contexts, which may be many, those that a transition waits for.
    if (thread.tid == 0 &&
        (transition_ == nullptr || !transition_->published() ||
         record->ack.load(std::memory_order_relaxed) >= transition_->request().generation)) {
      continue;
    }
    if (transition_ != nullptr && transition_->published()) {
      const bool switched = record->epoch.load(std::memory_order_relaxed) >= transition_->epoch();
      thread.patch_state = switched == transition_->patching() ? 1 : 0;
      thread.asked = transition_->request().Asks(*record);
      DescribeHoldLocked(*record, transition_->request(), &thread);
    }
    threads.push_back(std::move(thread));
  }
  const std::optional<UnregisteredStack> stack = FindUnregisteredStack();
  if (stack.has_value() && transition_ != nullptr && transition_->published() &&
      !transition_forced_) {
    threads.push_back({.name = kUnregisteredStack,
                       .activity = Activity::kBlocked,
                       .patch_state = transition_->target_patched() ? 0 : 1,
                       .straggler = {.reason = SwitchResult::kUnreliableStack,
                                     .pc = stack->pc,
                                     .walk_end = WalkEnd::kOutOfBounds,
                                     .tries = 1,
                                     .since_ns = begin_ns_},
                       .straggler_function = DescribeStack(*stack)});
  }
  return threads;
}

}  // namespace mend
