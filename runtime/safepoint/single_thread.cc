#include "runtime/safepoint/single_thread.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_calls.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend {

constinit std::atomic<uint32_t> SingleThread::awake_{0};
constinit std::atomic<int> SingleThread::runtime_threads_{0};
constinit std::atomic<uint32_t> SingleThread::mode_{SingleThread::kOff};
constinit std::atomic<bool> SingleThread::awaited_{false};

namespace {

constexpr int64_t kMillisecond = 1'000'000;
// How long the start of a program waits for the runtime's threads to fall asleep: a fraction of a
// millisecond, longer where processors are scarce.
constexpr int64_t kFallAsleepMaxNs = 1000 * kMillisecond;
constexpr int64_t kLookFirstNs = 20'000;
constexpr int64_t kLookMaxNs = 5 * kMillisecond;
// A thread that polls does so within this time; others are sent the safepoint signal.
constexpr int64_t kSignalDelayNs = 2 * kMillisecond;
// A handler that has slept for this long may have been left by longjmp, and is not waited for.
constexpr int64_t kHandlerMaxNs = 100 * kMillisecond;
// Where the kernel does not tell (the program may open nothing any more): a thread that has come to
// no poll by then, and that no signal has met in hosted text, passes for asleep.
constexpr int64_t kUntoldMaxNs = 1000 * kMillisecond;

// The program's thread; written before the mode becomes kOn, and never unset.
constinit std::atomic<ThreadRecord*> sole_thread{nullptr};
// Counts the safepoints that were noted; who waits for one sleeps on it.
constinit std::atomic<uint32_t> safepoints_seen{0};

// Libc's own __libc_single_threaded, by which it decides since 2.36 (an executable may have a copy
// of its own, which is for others). Null where it is not known to.
char* FindLibcWord() {
  char* end = nullptr;
  const char* const version = gnu_get_libc_version();
  if (strtol(version, &end, 10) != 2 || *end != '.' || strtol(end + 1, nullptr, 10) < 36) {
    return nullptr;
  }
  void* const libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  return libc == nullptr ? nullptr : static_cast<char*>(dlsym(libc, "__libc_single_threaded"));
}

std::atomic_ref<char> LibcWord() {
  static char none = 0;
  static char* const word = FindLibcWord();
  return std::atomic_ref<char>(word == nullptr ? none : *word);
}

// Whether the kernel has the thread asleep where a signal would wake it; `untold` where that cannot
// be read. Without libc's help.
bool SleepsInterruptibly(pid_t tid, bool untold) {
  char path[48] = "/proc/self/";
  char* at = path + sizeof("/proc/self/") - 1;
  // Of the process's first thread this is told under a name that needs no id: /proc knows another
  // one than the thread, if the process was made in a PID namespace of its own.
  if (tid != RawSyscall(SYS_getpid)) {
    for (const char c : {'t', 'a', 's', 'k', '/'}) *at++ = c;
    char digits[12];
    size_t count = 0;
    for (unsigned rest = static_cast<unsigned>(tid); rest != 0; rest /= 10) {
      digits[count++] = static_cast<char>('0' + rest % 10);
    }
    while (count > 0) *at++ = digits[--count];
    *at++ = '/';
  }
  for (const char c : {'s', 't', 'a', 't', '\0'}) *at++ = c;
  const long fd =
      RawSyscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(path), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return untold;
  char stat[128];
  const long got = RawSyscall(SYS_read, fd, reinterpret_cast<long>(stat), sizeof stat);
  RawSyscall(SYS_close, fd);
  // "TID (NAME) STATE ...", and the name may hold anything.
  for (long i = got - 3; i >= 0; --i) {
    if (stat[i] == ')') return stat[i + 2] == 'S';
  }
  return false;
}

// The same, and not in a signal handler of the program, however short. `waited_ns`: for that.
bool SleepsInOrder(const ThreadRecord& record, int64_t waited_ns) {
  // Plain stores of the program's thread, which the kernel's switch to another orders.
  const uint32_t handlers = record.handlers_begun.load(std::memory_order_acquire);
  const bool in_handler = record.handler_depth.load(std::memory_order_acquire) != 0;
  if (in_handler && waited_ns < kHandlerMaxNs) return false;
  return SleepsInterruptibly(record.tid.load(std::memory_order_relaxed),
                             waited_ns > kUntoldMaxNs) &&
         record.handlers_begun.load(std::memory_order_acquire) == handlers;
}

void ArmPoll(ThreadRecord& record) {
  // ORDER[T8]: pinned before reading the activity; pairs with ActivityWord::Set and EndThread.
  record.pinned.store(true, std::memory_order_seq_cst);
  // ORDER[T12]: the pointer before the words; pairs with ThreadRegistry::BindToCaller.
  ThreadWords* const words = record.words.load(std::memory_order_acquire);
  if (record.activity.Get() != Activity::kGone && words != nullptr) {
    words->poll.store(1, std::memory_order_release);
  }
  // ORDER[T8]: the words are not touched any more; pairs with ThreadRegistry::EndThread.
  record.pinned.store(false, std::memory_order_seq_cst);
}

}  // namespace

void SingleThread::Enter() {
  ThreadRecord* const self = ThreadRegistry::CurrentRecord();
  if (self == nullptr || ThreadRegistry::Get().has_contexts()) return;
  const int64_t deadline = MonotonicNs() + kFallAsleepMaxNs;
  // ORDER[T22]: what the last to fall asleep did before; pairs with FallAsleep.
  while (const uint32_t awake = awake_.load(std::memory_order_acquire)) {
    const int64_t left = deadline - MonotonicNs();
    if (left <= 0) return;
    FutexWait(&awake_, awake, left);
  }
  // Libraries may have started threads before the program.
  const size_t threads = CountSystemThreads();
  if (threads != 1 + static_cast<size_t>(runtime_threads_.load(std::memory_order_relaxed))) return;
  sole_thread.store(self, std::memory_order_relaxed);
  // ORDER[T22]: the mode before the count; pairs with WakeUp, which counts before it reads the
  // mode: a thread that is not seen awake here sees that it has to leave.
  mode_.store(kEntering, std::memory_order_seq_cst);
  if (awake_.load(std::memory_order_seq_cst) != 0) {
    mode_.store(kOff, std::memory_order_seq_cst);
    return;
  }
  LibcWord().store(1, std::memory_order_relaxed);
  // ORDER[T22]: libc's word before the mode; pairs with LeaveSlowPath, which reads the mode before
  // it stores the word.
  mode_.store(kOn, std::memory_order_seq_cst);
}

bool SingleThread::Leave() {
  if (mode_.load(std::memory_order_relaxed) != kOn) return false;
  // Zero when the program has created a thread: then there is nothing to come back to.
  const bool was_told = LibcWord().exchange(0, std::memory_order_relaxed) != 0;
  // ORDER[T23]: what this thread did with libc before the mode; pairs with LeaveSlowPath.
  mode_.store(kOff, std::memory_order_seq_cst);
  NoteSlowPath(*sole_thread.load(std::memory_order_relaxed),
               reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  return was_told;
}

void SingleThread::ChildAfterFork() {
  awake_.store(0, std::memory_order_relaxed);
  runtime_threads_.store(0, std::memory_order_relaxed);
  awaited_.store(false, std::memory_order_relaxed);
  mode_.store(kOff, std::memory_order_relaxed);
}

void SingleThread::LeaveSlowPath() {
  // ORDER[T22]: pairs with Enter. ORDER[T23]: pairs with Leave.
  while (mode_.load(std::memory_order_seq_cst) == kEntering) YieldProcessor();
  if (mode_.load(std::memory_order_seq_cst) == kOff) return;
  // ORDER[T23]: the word before the wish for a safepoint; pairs with NoteSlowPath.
  LibcWord().store(0, std::memory_order_seq_cst);
  AwaitSafepoint();
  // ORDER[T23]: the safepoint before the mode, which others who wake up read; pairs with WakeUp.
  mode_.store(kOff, std::memory_order_seq_cst);
}

void SingleThread::AwaitSafepoint() {
  ThreadRecord& record = *sole_thread.load(std::memory_order_relaxed);
  const uint32_t seen = safepoints_seen.load(std::memory_order_relaxed);
  // ORDER[T23]: libc's word before the wish; pairs with NoteSlowPath.
  awaited_.store(true, std::memory_order_seq_cst);
  const int64_t begin = MonotonicNs();
  for (int64_t pause = kLookFirstNs;; pause = pause * 2 < kLookMaxNs ? pause * 2 : kLookMaxNs) {
    // ORDER[T22]: the operations that are over before what this thread does; pairs with
    // NoteSlowPath.
    if (safepoints_seen.load(std::memory_order_acquire) != seen) break;
    if (record.activity.Get() == Activity::kGone) break;
    const int64_t waited = MonotonicNs() - begin;
    if (SleepsInOrder(record, waited)) break;
    ArmPoll(record);
    if (waited > kSignalDelayNs) SendSafepointSignal(record);
    FutexWait(&safepoints_seen, seen, pause);
  }
  awaited_.store(false, std::memory_order_relaxed);
}

void SingleThread::NoteSlowPath(const ThreadRecord& record, uintptr_t rsp) noexcept
    [[clang::nonblocking]] {
  const bool in_handler = record.handler_depth.load(std::memory_order_relaxed) != 0;
  if (in_handler && !record.HasLeftHandlers(rsp)) return;
  // ORDER[T23]: what this thread did before the count; pairs with AwaitSafepoint.
  safepoints_seen.fetch_add(1, std::memory_order_seq_cst);
  ThreadCalls::Wake(&safepoints_seen, 1 << 16);
}

void SingleThread::NoteInterruptedSlowPath(const ThreadRecord& record,
                                           const RegisterContext& context) noexcept
    [[clang::nonblocking]] {
  FdeEntry unused;
  const CodeAddress pc{context.rip};
  if (UnwindTable::Get().Find(pc, &unused) == UnwindTable::Lookup::kUnknown) return;
  NoteSlowPath(record, context.rsp);
}

}  // namespace mend
