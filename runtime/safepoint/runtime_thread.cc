#include "runtime/safepoint/runtime_thread.h"

#include <errno.h>
#include <string.h>

#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/runtime_thread_call.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend {
namespace {

// Everything but 32 and 33, by which glibc stops threads in pthread_cancel and setuid.
constexpr uint64_t kBlockedSignals = ~((uint64_t{1} << 31) | (uint64_t{1} << 32));

struct Start {
  const char* name;
  void* (*body)(void*);
  void* argument;
  int place;
};

void* RunBody(void* argument) {
  // A copy, since a thread that never ends would keep it for ever.
  const Start start = *std::unique_ptr<Start>(static_cast<Start*>(argument));
  EnterRuntimePlace(start.place);
  // By the thread itself: a detached one may be gone before its creator could.
  pthread_setname_np(pthread_self(), start.name);
  ThreadRegistry::Get().MarkRuntimeThread();
  void* const result = start.body(start.argument);
  LeaveRuntimePlace(start.place);
  return result;
}

// The kernel's call, since guest_libc keeps the safepoint signal out of masks.
void SetMask(const uint64_t* mask, uint64_t* old) {
  constexpr long kSetMask = 2;  // SIG_SETMASK
  RawSyscall(SYS_rt_sigprocmask, kSetMask, reinterpret_cast<long>(mask),
             reinterpret_cast<long>(old), sizeof *mask);
}

}  // namespace

absl::Status StartRuntimeThread(const char* name, void* (*body)(void*), void* argument,
                                pthread_t* thread, size_t stack_bytes) {
  const int place = TakeRuntimePlace();
  if (place == kNoPlace) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start the runtime's thread ", name, ": it has too many"));
  }
  auto start = std::make_unique<Start>(Start{name, body, argument, place});
  uint64_t old_mask = 0;
  SetMask(&kBlockedSignals, &old_mask);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t detached;
  if (thread == nullptr) {
    // From the start, since a host's pthread_detach may be a sanitizer's, which knows no thread
    // that was created behind its back.
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    thread = &detached;
  }
  int error;
  SingleThread::AddRuntimeThread();
  {
    // guest_libc passes pthread_create through to libc for the runtime's own threads.
    const CreatingRuntimeThread creating;
    error = MEND_FAILPOINT("runtime_thread/start")
                ? EAGAIN
                : pthread_create(thread, &attributes, RunBody, start.get());
  }
  pthread_attr_destroy(&attributes);
  SetMask(&old_mask, nullptr);
  if (error != 0) {
    SingleThread::RemoveRuntimeThread();
    LeaveRuntimePlace(place);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start the runtime's thread ", name, ": ", strerror(error)));
  }
  (void)start.release();
  return absl::OkStatus();
}

void JoinRuntimeThread(pthread_t thread) {
  pthread_join(thread, nullptr);
  SingleThread::RemoveRuntimeThread();
}

}  // namespace mend
