// A thread that is about to die of a fault says where: one line for the signal, one for each frame.
//
// The handler stands where the program has left the default action. It allocates nothing and takes
// no lock, since the thread may have been interrupted inside of malloc; it uses the runtime's own
// stack walker. Then it puts the default action back and returns: a fault happens again at the same
// instruction, so that the process ends, and dumps core, as it would have without the report.
#include "jit/guest_libc/crash_report.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/text_names.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/standard_error.h"
#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/thread_registry.h"

using Action = struct sigaction;

// Defined with the other signal functions.
extern mend::jit::NextFunction<int(int, const Action*, Action*)> next_sigaction;

namespace mend::jit {
namespace {

constexpr int kReported[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr size_t kFramesMax = 64;

constinit std::atomic<bool> reports_wanted{false};
// 0: nobody has crashed; 1: a thread is writing its report; 2: it has written it.
constinit std::atomic<int> progress{0};

// A line of text in a buffer of its own; what does not fit is cut off.
class Line {
 public:
  Line& operator<<(const char* text) {
    const size_t size = std::min(strlen(text), sizeof buffer_ - 1 - size_);
    memcpy(buffer_ + size_, text, size);
    size_ += size;
    return *this;
  }
  Line& Number(uintptr_t value, unsigned base) {
    char digits[24];
    char* at = digits + sizeof digits - 1;
    *at = '\0';
    do {
      *--at = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    return *this << (base == 16 ? "0x" : "") << at;
  }
  void Write() {
    if (!IsStandardError()) return;
    buffer_[size_++] = '\n';
    RawSyscall(SYS_write, STDERR_FILENO, reinterpret_cast<long>(buffer_), static_cast<long>(size_));
  }

 private:
  char buffer_[512];
  size_t size_ = 0;
};

const char* BaseName(const char* path) {
  const char* const slash = strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

// The function, or the library, at `pc`.
void Name(uintptr_t pc, Line& line) {
  FdeEntry function;
  if (FindHostedFunction(pc, &function)) {
    line << function.name;
    if (function.patch != nullptr) line << "@" << function.patch;
    (line << "+").Number(pc - function.function.begin.value, 16);
    return;
  }
  dl_find_object library;
  if (_dl_find_object(reinterpret_cast<void*>(pc), &library) != 0) {
    line << "unknown code";
    return;
  }
  const char* const file = library.dlfo_link_map->l_name;
  line << (*file == '\0' ? program_invocation_short_name : BaseName(file)) << "+";
  line.Number(pc - library.dlfo_link_map->l_addr, 16);
}

bool WriteFrame(const WalkFrame& frame, void* /*unused*/) noexcept {
  Line line;
  (line << "mend:   #").Number(frame.depth, 10) << " ";
  line.Number(frame.pc.value, 16) << " ";
  Name(frame.is_return_address ? frame.pc.value - 1 : frame.pc.value, line);
  line.Write();
  return frame.depth + 1 < kFramesMax;
}

void WriteStack(const RegisterContext& context) {
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record == nullptr || record->stack.high == 0) {
    // A thread that the runtime does not know: where it stands is all that can be told.
    WriteFrame({.pc = CodeAddress{context.rip}}, nullptr);
    return;
  }
  StackBounds stack = record->stack;
  if (stack.low <= context.rsp && context.rsp < stack.high) stack.low = context.rsp - kRedZone;
  // The visitor writes to a descriptor, which may block; the process is at its end.
  const auto visitor = std::bit_cast<WalkVisitor>(&WriteFrame);
  const WalkResult walk = WalkStack(
      context, {.stack = stack, .alternate_stack = record->alternate_stack}, visitor, nullptr);
  if (walk.end == WalkEnd::kComplete || walk.end == WalkEnd::kStopped) return;
  Line line;
  (line << "mend:   the stack cannot be followed further: " << WalkEndName(walk.end)).Write();
}

void WriteReport(int number, const siginfo_t& info, const ucontext_t& context) {
  Line line;
  line << "mend: " << program_invocation_short_name << " (";
  line.Number(static_cast<uintptr_t>(RawSyscall(SYS_getpid)), 10)
      << ") died of SIG" << sigabbrev_np(number);
  if (number == SIGSEGV || number == SIGBUS) {
    (line << " at address ").Number(reinterpret_cast<uintptr_t>(info.si_addr), 16);
  }
  (line << " in thread ").Number(static_cast<uintptr_t>(RawSyscall(SYS_gettid)), 10) << ":";
  line.Write();
  WriteStack(InterruptedContext(context));
}

// Another thread that crashes meanwhile would end the process in the middle of the report.
void AwaitReport() {
  for (int tries = 0; progress.load(std::memory_order_relaxed) == 1 && tries < 100; ++tries) {
    const timespec pause = {.tv_sec = 0, .tv_nsec = 10'000'000};
    RawSyscall(SYS_nanosleep, reinterpret_cast<long>(&pause), 0);
  }
}

void ReportAndDie(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool is_fault = info->si_code > 0;
  // A signal that somebody else sent says nothing of what this thread was doing.
  const bool own = is_fault || info->si_pid == static_cast<pid_t>(RawSyscall(SYS_getpid));
  int nobody = 0;
  if (own && progress.compare_exchange_strong(nobody, 1, std::memory_order_relaxed)) {
    WriteReport(number, *info, *static_cast<ucontext_t*>(context));
    progress.store(2, std::memory_order_relaxed);
  } else {
    AwaitReport();
  }
  Action standard = {};
  standard.sa_handler = SIG_DFL;
  next_sigaction(number, &standard, nullptr);
  // A fault comes back by itself; what was sent is sent again, and waits until the handler returns.
  if (!is_fault) {
    RawSyscall(SYS_tgkill, RawSyscall(SYS_getpid), RawSyscall(SYS_gettid), number);
  }
  errno = saved_errno;
}

}  // namespace

bool IsReported(int signal_number) {
  return reports_wanted.load(std::memory_order_relaxed) &&
         std::find(std::begin(kReported), std::end(kReported), signal_number) !=
             std::end(kReported);
}

Action ReportingAction() {
  Action action = {};
  action.sa_sigaction = ReportAndDie;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  // None of the program's handlers runs in between.
  sigfillset(&action.sa_mask);
  return action;
}

bool IsReportingHandler(void (*handler)(int)) {
  return handler == std::bit_cast<void (*)(int)>(&ReportAndDie);
}

void ReportCrashes() {
  for (const int number : kReported) {
    Action now;
    if (next_sigaction(number, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) continue;
    const Action reporting = ReportingAction();
    next_sigaction(number, &reporting, nullptr);
  }
  reports_wanted.store(true, std::memory_order_relaxed);
}

}  // namespace mend::jit
