#include "runtime/safepoint/safepoint.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unregistered_stack.h"

namespace mend {
namespace {

// Written before the first transition, by whoever creates the registry.
constinit std::atomic<bool> has_safepoint_signal{false};
constinit std::atomic<bool> signal_forgone{false};

// Answers the current request from a safepoint. `rewind` may be null; else it is the PC that the
// thread goes on from, and is moved back to the beginning of the trampoline that it is in.
SwitchResult AnswerRequest(ThreadRecord& record, RegisterContext context, greg_t* rewind,
                           SwitchWay way) noexcept [[clang::nonblocking]] {
  const SwitchRequest* const request = Handshake::Get().Current();
  if (request == nullptr) return SwitchResult::kAlreadySwitched;
  const CodeRange* const trampolines =
      FindRange(request->trampolines.data(), request->trampolines.size(), CodeAddress{context.rip});
  if (rewind != nullptr && request->switches && trampolines != nullptr) {
    // A trampoline changes nothing but flags, which are dead at a function's entry.
    const uintptr_t offset = context.rip - trampolines->begin.value;
    context.rip -= offset % kTrampolineSize;
    *rewind = static_cast<greg_t>(context.rip);
  }
  if (!record.stack.Contains(context.rsp)) NoticeStack(record, context, nullptr);
  return Handshake::Get().Attempt(record, *request, &context, way);
}

void HandleForRecord(ThreadRecord& record, ThreadWords& words, ucontext_t& context) noexcept
    [[clang::nonblocking]] {
  SingleThread::NoteInterrupted(record, InterruptedContext(context));
  if (record.in_slow_path.load(std::memory_order_relaxed)) {
    // The thread is answering an older request in the frame below; let it poll again. Answering
    // here would acknowledge a request while the older one is still in use.
    words.poll.store(1, std::memory_order_relaxed);
  } else if (record.activity.Get() == Activity::kRunning) {
    record.in_slow_path.store(true, std::memory_order_relaxed);
    // ORDER[T4]: the poll byte cleared before reading the request; pairs with
    // Coordinator::VisitRunning.
    words.poll.exchange(0, std::memory_order_acquire);
    if (record.adopted.load(std::memory_order_relaxed) && record.stack.high == 0) {
      // The registry knows only the thread's id. It looks the stack up and asks again.
      record.anchor = InterruptedContext(context);
    } else {
      AnswerRequest(record, InterruptedContext(context), &context.uc_mcontext.gregs[REG_RIP],
                    SwitchWay::kSignal);
    }
    record.in_slow_path.store(false, std::memory_order_relaxed);
  }
  // ORDER[T7]: all that the handler did before the signal counts as delivered; pairs with
  // ThreadRecord::AwaitSignal and SendSafepointSignal.
  record.signal_in_flight.store(false, std::memory_order_seq_cst);
}

void SafepointSignalHandler(int, siginfo_t* info, void* context) {
  // A signal that another process, or a raise(), sent carries no record.
  if (info->si_code != SI_QUEUE || info->si_pid != static_cast<pid_t>(RawSyscall(SYS_getpid))) {
    return;
  }
  ThreadWords& words = tls_thread_words;
  auto* const sent_for = static_cast<ThreadRecord*>(info->si_value.sival_ptr);
  ThreadRecord* record = words.record.load(std::memory_order_relaxed);
  if (record == nullptr) {
    if (!sent_for->adopted.load(std::memory_order_relaxed) ||
        sent_for->tid.load(std::memory_order_relaxed) !=
            static_cast<pid_t>(RawSyscall(SYS_gettid))) {
      return;
    }
    record = sent_for;
    ThreadRegistry::BindAdopted(record, &words);
  }
  HandleForRecord(*record, words, *static_cast<ucontext_t*>(context));
}

#ifdef MEND_FAILPOINTS
// For tests that patch at a certain safepoint. With "safepoint/poll_always" whoever polled once
// polls at every safepoint from then on. Where "safepoint/await_patch" or "safepoint/await_unpatch"
// hits, the thread says so on standard error and stays until it was asked to switch: it answers
// there, whether its stack allows it or not, and goes on.
void StopForTest(ThreadWords& words, ThreadRecord& record, const RegisterContext& context) {
  if (!MEND_FAILPOINT("safepoint/poll_always")) return;
  if (MEND_FAILPOINT("safepoint/await_patch") || MEND_FAILPOINT("safepoint/await_unpatch")) {
    // Before anybody knows: the request may come, and the signal answer it, before the next line.
    const uint32_t epoch = words.epoch.load(std::memory_order_relaxed);
    constexpr char kText[] = "stopped at a safepoint\n";
    RawSyscall(SYS_write, 2, reinterpret_cast<long>(kText), sizeof kText - 1);
    SwitchResult result = SwitchResult::kSwitched;
    while (words.epoch.load(std::memory_order_relaxed) == epoch &&
           (result == SwitchResult::kSwitched || result == SwitchResult::kAlreadySwitched)) {
      const timespec pause = {0, 100'000};
      RawSyscall(SYS_nanosleep, reinterpret_cast<long>(&pause), 0);
      if (words.poll.exchange(0, std::memory_order_acquire) == 0) continue;  // ORDER[T4]
      const uint64_t ack = record.ack.load(std::memory_order_relaxed);
      result = AnswerRequest(record, context, nullptr, SwitchWay::kPoll);
      const bool acknowledged = record.ack.load(std::memory_order_relaxed) != ack;
      // A reversal that asks for the state that the thread has never left.
      if (acknowledged && result == SwitchResult::kAlreadySwitched) break;
    }
  }
  words.poll.store(1, std::memory_order_relaxed);
}
#endif

}  // namespace

absl::Status InstallSafepointSignal() {
  // guest_libc interposes sigaction and refuses this signal; libc's own supplies a signal return
  // stub that the stack walker knows.
  using Sigaction = int (*)(int, const struct sigaction*, struct sigaction*);
  auto* const real_sigaction = reinterpret_cast<Sigaction>(dlsym(RTLD_NEXT, "sigaction"));
  if (real_sigaction == nullptr) return absl::InternalError("libc has no sigaction");
  struct sigaction action = {};
  action.sa_sigaction = SafepointSignalHandler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  const bool installed = real_sigaction(kSafepointSignal, &action, nullptr) == 0;
  has_safepoint_signal.store(installed, std::memory_order_relaxed);
  // EINVAL: to the kernel it is a signal like others; something in between refuses it.
  if (!installed && errno != EINVAL) {
    return absl::InternalError(
        absl::StrCat("cannot install the safepoint signal's handler: ", strerror(errno)));
  }
  return absl::OkStatus();
}

bool HasSafepointSignal() { return has_safepoint_signal.load(std::memory_order_relaxed); }

void ForgoSafepointSignal() {
  // ORDER[T7]: before the calling thread stops running; pairs with SendSafepointSignal.
  signal_forgone.store(true, std::memory_order_seq_cst);
}

bool SendSafepointSignal(ThreadRecord& record) {
  if (!HasSafepointSignal()) return false;
#ifdef MEND_THREAD_SANITIZER
  // TSan's runtime cannot be interrupted at any instruction; polls and blocked regions must do.
  (void)record;
  return false;
#else
  if (record.signal_in_flight.load(std::memory_order_relaxed)) return false;
  // ORDER[T7]: raised before reading the activity, and whether the signal is forgone; pairs with
  // ActivityWord::Set, AwaitSignal, ForgoSafepointSignal.
  record.signal_in_flight.store(true, std::memory_order_seq_cst);
  if (signal_forgone.load(std::memory_order_seq_cst) ||
      record.activity.Get() != Activity::kRunning) {
    // ORDER[T7]: pairs with AwaitSignal.
    record.signal_in_flight.store(false, std::memory_order_seq_cst);
    return false;
  }
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = kSafepointSignal;
  info.si_code = SI_QUEUE;
  info.si_pid = static_cast<pid_t>(RawSyscall(SYS_getpid));
  info.si_value.sival_ptr = &record;
  const long sent =
      RawSyscall(SYS_rt_tgsigqueueinfo, info.si_pid, record.tid.load(std::memory_order_relaxed),
                 kSafepointSignal, reinterpret_cast<long>(&info));
  if (sent == 0) return true;
  // ORDER[T7]: pairs with AwaitSignal.
  record.signal_in_flight.store(false, std::memory_order_seq_cst);
  return false;
#endif
}

void AnswerPoll(const RegisterContext& context) noexcept {
  ThreadWords& words = tls_thread_words;
  // ORDER[T4]: the poll byte cleared before reading the request; pairs with
  // Coordinator::VisitRunning.
  words.poll.exchange(0, std::memory_order_acquire);
  ThreadRecord* const record = words.record.load(std::memory_order_relaxed);
  if (record == nullptr || record->activity.Get() != Activity::kRunning) return;
  SingleThread::NoteSafepoint(*record, context);
  record->in_slow_path.store(true, std::memory_order_relaxed);
  const SwitchResult result = AnswerRequest(*record, context, nullptr, SwitchWay::kPoll);
#ifdef MEND_FAILPOINTS
  StopForTest(words, *record, context);
#endif
  record->in_slow_path.store(false, std::memory_order_relaxed);
  // A thread that is in old code most of the time may poll outside of it only now and then: let it
  // look at the next polls too. Not at all of them, or a hot loop in old code would crawl.
  if (result == SwitchResult::kOnStack &&
      record->poll_credit.fetch_sub(1, std::memory_order_relaxed) > 0) {
    words.poll.store(1, std::memory_order_relaxed);
  }
}

}  // namespace mend

extern "C" void MendPollSlowPath(const mend::RegisterContext* context) {
  mend::AnswerPoll(*context);
}
