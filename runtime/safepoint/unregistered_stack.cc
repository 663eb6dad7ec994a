#include "runtime/safepoint/unregistered_stack.h"

#include <signal.h>
#include <sys/syscall.h>

#include <atomic>

#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/stack_switches.h"

namespace mend {
namespace {

// Relaxed: a sighting is published with what the thread does next (the ack, ORDER[T5], or the
// claimable state, ORDER[T2]), which whoever completes a transition has read. So is a flag that a
// function has set before it went to another stack.
constinit std::atomic<pid_t> seen_tid{0};
constinit std::atomic<const char*> seen_blocked_in{nullptr};  // this and the next: for people
constinit std::atomic<uintptr_t> seen_pc{0};
constinit std::atomic<bool> ignored{false};

// A host's own signal stack, which nobody told of, is the kernel's knowledge.
bool OnSignalStack(uintptr_t rsp) noexcept [[clang::nonblocking]] {
  stack_t current = {};
  if (RawSyscall(SYS_sigaltstack, 0, reinterpret_cast<long>(&current)) != 0) return false;
  const auto low = reinterpret_cast<uintptr_t>(current.ss_sp);
  return (current.ss_flags & SS_DISABLE) == 0 && low <= rsp && rsp <= low + current.ss_size;
}

bool OnSignalStack(const ThreadRecord& record, uintptr_t rsp) noexcept [[clang::nonblocking]] {
  return record.alternate_stack.Contains(rsp) || OnSignalStack(rsp);
}

}  // namespace

void NoticeStack(const ThreadRecord& record, const RegisterContext& context,
                 const char* blocked_in) noexcept [[clang::nonblocking]] {
  if (seen_tid.load(std::memory_order_relaxed) != 0 || record.stack.high == 0) return;
  // A thread that was merely found may have gone to a context while its stack was being looked up;
  // nobody followed it.
  if (record.adopted.load(std::memory_order_relaxed)) return;
  if (OnSignalStack(record, context.rsp)) return;
  pid_t none = 0;
  if (!seen_tid.compare_exchange_strong(none, static_cast<pid_t>(RawSyscall(SYS_gettid)),
                                        std::memory_order_relaxed)) {
    return;
  }
  seen_blocked_in.store(blocked_in, std::memory_order_relaxed);
  seen_pc.store(context.rip, std::memory_order_relaxed);
}

void NoticeJump(const ThreadRecord& record, uintptr_t from, uintptr_t to) noexcept
    [[clang::nonblocking]] {
  if (record.stack.Contains(to)) {
    if (from <= to || !record.stack.Contains(from)) return;
    // A signal stack may be an array on the thread's own, above what its handlers jump to.
    if (OnSignalStack(record, from)) return;
  }
  RegisterContext there = {};
  there.rsp = to;
  NoticeStack(record, there, "longjmp");
}

std::optional<UnregisteredStack> FindUnregisteredStack() {
  const pid_t tid = seen_tid.load(std::memory_order_relaxed);
  const char* const function = tid == 0 ? FindStackSwitch() : nullptr;
  if (tid == 0 && function == nullptr) return std::nullopt;
  if (ignored.load(std::memory_order_relaxed)) return std::nullopt;
  if (function != nullptr) return UnregisteredStack{.tid = 0, .blocked_in = function, .pc = {}};
  return UnregisteredStack{.tid = tid,
                           .blocked_in = seen_blocked_in.load(std::memory_order_relaxed),
                           .pc = CodeAddress{seen_pc.load(std::memory_order_relaxed)}};
}

void IgnoreUnregisteredStacks(bool ignore) { ignored.store(ignore, std::memory_order_relaxed); }

bool UnregisteredStacksIgnored() { return ignored.load(std::memory_order_relaxed); }

}  // namespace mend
