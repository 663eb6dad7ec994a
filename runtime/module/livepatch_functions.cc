// The functions of <mend/livepatch.h> that the core implements, for hosted code to call.
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <utility>

#include "runtime/base/event_log.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/module/hosted_services.h"
#include "runtime/patch/livepatch_abi.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/shadow/shadow_variable.h"
#include "runtime/transition/patch_registry.h"

namespace mend {
namespace {

// The process' runtime, once more: written before any of its hosted code runs. Relaxed: code that
// another runtime hosted before may read either.
std::atomic<EventLog*> log_of_process{nullptr};
std::atomic<const PatchRegistry*> registry_of_process{nullptr};

}  // namespace

void SetHostedServices(EventLog* events, const PatchRegistry* patches) {
  log_of_process.store(events, std::memory_order_relaxed);
  registry_of_process.store(patches, std::memory_order_relaxed);
  ShadowTable::Get().SetLog(events);
}

}  // namespace mend

extern "C" {

const char* mend_object_name(const mend_object* object) {
  return object->name.empty() ? nullptr : object->name.c_str();
}

mend_module_state mend_object_state(const mend_object* object) {
  return object->state.load(std::memory_order_relaxed);
}

mend_state* mend_get_state(mend_patch* patch, unsigned long id) {
  if (patch == nullptr || patch->states == nullptr) return nullptr;
  for (mend_state* state = patch->states; state->id != 0; ++state) {
    if (state->id == id) return state;
  }
  return nullptr;
}

mend_state* mend_get_prev_state(unsigned long id) {
  const mend::PatchRegistry* const registry =
      mend::registry_of_process.load(std::memory_order_relaxed);
  return registry == nullptr ? nullptr : registry->PreviousState(id);
}

void* mend_shadow_get(void* obj, unsigned long id) {
  return mend::ShadowTable::Get().Find(obj, id);
}

void* mend_shadow_alloc(void* obj, unsigned long id, size_t size, mend_shadow_ctor ctor,
                        void* ctor_data) {
  return mend::ShadowTable::Get().Allocate(
      obj, id, {.size = size, .constructor = ctor, .constructor_data = ctor_data});
}

void* mend_shadow_get_or_alloc(void* obj, unsigned long id, size_t size, mend_shadow_ctor ctor,
                               void* ctor_data) {
  return mend::ShadowTable::Get().FindOrAllocate(
      obj, id, {.size = size, .constructor = ctor, .constructor_data = ctor_data});
}

void mend_shadow_free(void* obj, unsigned long id, mend_shadow_dtor dtor) {
  mend::ShadowTable::Get().Free(obj, id, dtor);
}

void mend_shadow_free_all(unsigned long id, mend_shadow_dtor dtor) {
  mend::ShadowTable::Get().FreeAll(id, dtor);
}

void mend_log(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  std::string text(size < 0 ? 0 : static_cast<size_t>(size), '\0');
  // With the terminator's place, which a string has.
  if (size > 0) std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  mend::EventLog* const log = mend::log_of_process.load(std::memory_order_relaxed);
  if (log == nullptr) return;
  // A line has its end already.
  if (text.ends_with('\n')) text.pop_back();
  mend::Event event;
  event.kind = "guest_log";
  event.tid = static_cast<pid_t>(mend::RawSyscall(SYS_gettid));
  event.text = std::move(text);
  log->Append(std::move(event));
}

void mend_safepoint(void) {
  if (mend::tls_thread_words.poll.load(std::memory_order_relaxed) != 0) __mend_poll_slow();
}

}  // extern "C"
