#include "runtime/safepoint/runtime_thread_call.h"

#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstddef>

#include "runtime/base/raw_syscall.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/system_threads.h"

namespace mend {
namespace {

// More requests than that are not answered at a time.
constexpr size_t kPlaces = 256;
// glibc's SIGSETXID, which no program can see.
constexpr int kSetxidSignal = 33;
constexpr int64_t kAwaitNs = 10'000'000;

// A thread by its process and its own id, so that those of a parent are free places in a forked
// child; the id is 0 until the thread runs.
struct Place {
  std::atomic<uint64_t> thread;
  std::atomic<uint32_t> made;  // number of the last call that the thread has made
};
constinit Place places[kPlaces];

// The call that is under way, written by the process's first thread alone. Its number grows from 1
// on; a place that is taken begins with none made.
constinit KernelCall current{};
constinit uint32_t current_number = 0;

// As the kernel knows it; sigaction(3) refuses libc's own signals.
struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
constinit KernelAction libcs_action{};

uint64_t OwnProcess() noexcept { return static_cast<uint64_t>(RawSyscall(SYS_getpid)) << 32; }
bool IsOf(uint64_t process, uint64_t thread) noexcept { return thread >> 32 == process >> 32; }
long IdOf(uint64_t thread) noexcept { return static_cast<long>(thread & 0xffffffff); }

void MakeCall(int number, siginfo_t* info, void* context) {
  if (info->si_code != SI_QUEUE || info->si_pid != static_cast<pid_t>(OwnProcess() >> 32)) {
    libcs_action.handler(number, info, context);
    return;
  }
  const long* const a = current.arguments;
  RawSyscall(current.number, a[0], a[1], a[2], a[3], a[4]);
  Place& place = places[static_cast<size_t>(info->si_value.sival_int)];
  // ORDER[T27]: the places that this thread has taken before its call count; pairs with
  // RepeatInRuntimeThreads.
  place.made.store(current_number, std::memory_order_release);
  FutexWake(&place.made, 1);
}

// False when libc has no handler: no thread but this one was ever created.
[[maybe_unused]] bool PutHandlerInFront() noexcept {
  KernelAction action{};
  RawSyscall(SYS_rt_sigaction, kSetxidSignal, 0, reinterpret_cast<long>(&action),
             sizeof action.mask);
  if (action.handler == nullptr) return false;
  // A process that was forked off in the middle of a call has it already.
  if (action.handler != &MakeCall) libcs_action = action;
  action.handler = &MakeCall;
  action.mask = ~uint64_t{0};
  RawSyscall(SYS_rt_sigaction, kSetxidSignal, reinterpret_cast<long>(&action), 0,
             sizeof action.mask);
  return true;
}

// Asks the thread of a place and waits until it has made the call, or has ended.
void Ask(size_t index, uint64_t thread) noexcept {
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  info.si_pid = static_cast<pid_t>(thread >> 32);
  info.si_value.sival_int = static_cast<int>(index);
  const long process = static_cast<long>(thread >> 32);
  long sent;
  do {
    sent = RawSyscall(SYS_rt_tgsigqueueinfo, process, IdOf(thread), kSetxidSignal,
                      reinterpret_cast<long>(&info));
  } while (sent == -EAGAIN);  // as many signals are on their way as the user may send
  Place& place = places[index];
  if (sent != 0) {  // a filter's answer; nor can libc reach it then
    place.made.store(current_number, std::memory_order_relaxed);
    return;
  }
  while (place.thread.load(std::memory_order_relaxed) == thread) {
    // ORDER[T27]: as in AskAll, for the places before it, which are looked at again.
    const uint32_t made = place.made.load(std::memory_order_acquire);
    if (made == current_number) return;
    // Not for good: a thread that ends takes no signals any more.
    FutexWait(&place.made, made, kAwaitNs);
  }
}

// Whether all threads that have a place now have made the call.
[[maybe_unused]] bool AskAll(uint64_t process) noexcept {
  bool all = true;
  for (size_t i = 0; i < kPlaces; ++i) {
    const uint64_t thread = places[i].thread.load(std::memory_order_relaxed);
    if (!IsOf(process, thread)) continue;
    // ORDER[T27]: whether it has made the call before the places behind it; pairs with MakeCall.
    if (places[i].made.load(std::memory_order_acquire) == current_number) continue;
    all = false;
    if (IdOf(thread) == 0) {
      RawSyscall(SYS_sched_yield);  // it is being created
    } else {
      Ask(i, thread);
    }
  }
  return all;
}

// Whether all threads that have a place sleep.
bool AllSleep(uint64_t process) {
  pid_t tids[kPlaces];
  size_t count = 0;
  for (const Place& place : places) {
    const uint64_t thread = place.thread.load(std::memory_order_relaxed);
    if (!IsOf(process, thread)) continue;
    if (IdOf(thread) == 0) return false;  // it is being created
    tids[count++] = static_cast<pid_t>(IdOf(thread));
  }
  return AllThreadsSleep({tids, count});
}

}  // namespace

void AwaitRuntimeThreadsAsleep() noexcept {
  constexpr int kLooksMax = 8000;
  constexpr timespec kPause = {0, 250'000};
  const uint64_t process = OwnProcess();
  for (int looks = 0; looks < kLooksMax && !AllSleep(process); ++looks) {
    RawSyscall(SYS_nanosleep, reinterpret_cast<long>(&kPause), 0);
  }
}

void RepeatInRuntimeThreads(const KernelCall& call) noexcept {
#ifdef MEND_THREAD_SANITIZER
  // Its runtime cannot be interrupted by a signal that it knows nothing of.
  (void)call;
#else
  const uint64_t process = OwnProcess();
  if (static_cast<long>(process >> 32) != RawSyscall(SYS_gettid)) return;
  const Uninterrupted uninterrupted;  // a handler of the program's may make such a call itself
  if (!PutHandlerInFront()) return;
  current = call;
  ++current_number;
  // A thread that was asked may just have been creating another one, as it was before.
  while (!AskAll(process)) {
  }
  RawSyscall(SYS_rt_sigaction, kSetxidSignal, reinterpret_cast<long>(&libcs_action), 0,
             sizeof libcs_action.mask);
#endif
}

int TakeRuntimePlace() noexcept {
  const uint64_t process = OwnProcess();
  for (size_t i = 0; i < kPlaces; ++i) {
    uint64_t thread = places[i].thread.load(std::memory_order_relaxed);
    if (IsOf(process, thread)) continue;
    if (!places[i].thread.compare_exchange_strong(thread, process, std::memory_order_relaxed)) {
      continue;
    }
    // What the thread that had the place has made, in a call that is under way, does not count.
    // Relaxed: seen at the latest with the taker's own call (T27), before which it matters.
    places[i].made.store(0, std::memory_order_relaxed);
    return static_cast<int>(i);
  }
  return kNoPlace;
}

void EnterRuntimePlace(int place) noexcept {
  places[place].thread.store(OwnProcess() | static_cast<uint64_t>(RawSyscall(SYS_gettid)),
                             std::memory_order_relaxed);
}

void LeaveRuntimePlace(int place) noexcept {
  places[place].thread.store(0, std::memory_order_relaxed);
}

bool IsInRuntimePlace(pid_t tid) noexcept {
  const uint64_t thread = OwnProcess() | static_cast<uint64_t>(tid);
  for (const Place& place : places) {
    if (place.thread.load(std::memory_order_relaxed) == thread) return true;
  }
  return false;
}

}  // namespace mend
