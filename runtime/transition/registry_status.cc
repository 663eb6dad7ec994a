// The registry's views: what status and the list of threads show.
#include <algorithm>
#include <string>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/registry_state.h"

namespace mend {
namespace {

PatchStatus StatusOf(const Patch& patch) {
  PatchStatus status;
  status.name = patch.name;
  status.enabled = patch.enabled;
  status.replace = patch.replace;
  status.forced = patch.forced;
  status.content_hash = patch.content_hash;
  status.parameters = patch.parameters.Names();
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
  uint64_t generation = 0;
  if (transition_ != nullptr) {
    status.transition = transition_->patch()->name;
    status.transition_patching = transition_->target_patched();
    status.transition_age_ns = MonotonicNs() - begin_ns_;
    if (transition_->published()) generation = transition_->request().generation;
  }
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (record->activity.Get() == Activity::kGone) continue;
    ++status.threads_total;
    // ORDER[T5]: pairs with Handshake::Attempt.
    if (record->ack.load(std::memory_order_acquire) < generation) ++status.threads_left;
  }
  return status;
}

std::vector<ThreadStatus> PatchRegistry::State::ThreadsLocked() const {
  std::vector<ThreadStatus> threads;
  for (const ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    ThreadStatus thread;
    thread.activity = record->activity.Get();
    thread.tid = record->tid.load(std::memory_order_relaxed);
    if (thread.activity == Activity::kGone || thread.tid == 0) continue;
    thread.name = ThreadName(thread.tid);
    const char* const blocked_in = record->blocked_in.load(std::memory_order_relaxed);
    if (thread.activity == Activity::kBlocked && blocked_in != nullptr) {
      thread.blocked_in = blocked_in;
    }
    if (transition_ != nullptr && transition_->published()) {
      const bool switched = record->epoch.load(std::memory_order_relaxed) >= transition_->epoch();
      thread.patch_state = switched == transition_->patching() ? 1 : 0;
      // ORDER[T5]: pairs with Handshake::Attempt.
      if (record->ack.load(std::memory_order_acquire) < transition_->request().generation) {
        thread.straggler = coordinator_.StragglerOf(*record, transition_->epoch());
        if (!thread.straggler.pc.is_null()) {
          thread.straggler_function = loader_->Describe(thread.straggler.pc);
        }
      }
    }
    threads.push_back(std::move(thread));
  }
  return threads;
}

}  // namespace mend
