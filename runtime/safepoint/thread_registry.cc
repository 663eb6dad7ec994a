#include "runtime/safepoint/thread_registry.h"

#include <pthread.h>
#include <signal.h>

#include <new>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "runtime/base/check.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/system_threads.h"

namespace mend {
namespace {

union Holder {
  constexpr Holder() : registry() {}
  ~Holder() {}
  ThreadRegistry registry;
};
constinit Holder holder;

enum class Ownership : uint8_t { kUnknown, kProgram, kRuntime };

// Whose thread this is. The only other thread-local of the runtime besides the words.
thread_local constinit Ownership tls_ownership __attribute__((tls_model("initial-exec"))) =
    Ownership::kUnknown;
thread_local constinit int tls_creating_runtime_thread __attribute__((tls_model("initial-exec"))) =
    0;

constexpr uint64_t kSafepointSignalBit = uint64_t{1} << (kSafepointSignal - 1);

bool SafepointSignalBlocked() {
  uint64_t mask = 0;
  RawSyscall(SYS_rt_sigprocmask, 0, 0, reinterpret_cast<long>(&mask), sizeof mask);
  return (mask & kSafepointSignalBit) != 0;
}

// The mask may come from a parent process, or from a host that blocks everything in its workers.
// Not within an Uninterrupted scope, which restores the mask that it found.
void UnblockSafepointSignal() {
  constexpr long kUnblock = 1;  // SIG_UNBLOCK
  RawSyscall(SYS_rt_sigprocmask, kUnblock, reinterpret_cast<long>(&kSafepointSignalBit), 0,
             sizeof kSafepointSignalBit);
}

// Of a thread that libc made: its descriptor is at the end of its stack. Libc may have given it a
// larger one that it had left; frames beyond this one's size are reported as unreliable.
StackBounds StackBelowDescriptor(size_t size) {
  pthread_attr_t defaults;
  if (size == 0 && pthread_getattr_default_np(&defaults) == 0) {
    pthread_attr_getstacksize(&defaults, &size);
    pthread_attr_destroy(&defaults);
  }
  const auto high = static_cast<uintptr_t>(pthread_self());
  return {.low = high - size, .high = high};
}

// Whether a thread that was announced has the id. One that was found has no other record: the id is
// a new thread's by now.
bool IsAnnouncedThreads(pid_t tid) {
  const ThreadRecord* record = ThreadRegistry::Get().first();
  for (; record != nullptr; record = record->next) {
    if (record->activity.Get() != Activity::kGone &&
        !record->adopted.load(std::memory_order_relaxed) &&
        record->tid.load(std::memory_order_relaxed) == tid) {
      return true;
    }
  }
  return false;
}

}  // namespace

CreatingRuntimeThread::CreatingRuntimeThread() noexcept { ++tls_creating_runtime_thread; }
CreatingRuntimeThread::~CreatingRuntimeThread() { --tls_creating_runtime_thread; }

ThreadRegistry& ThreadRegistry::Get() { return holder.registry; }

// The thread itself, without a hosted frame.
void ThreadRegistry::SwitchCallerAtBoundary(ThreadRecord& record) noexcept {
  // A safepoint signal must not answer a newer request in the middle of this one.
  record.in_slow_path.store(true, std::memory_order_relaxed);
  Handshake::Get().SwitchAtBoundary(record);
  record.in_slow_path.store(false, std::memory_order_relaxed);
}

// Foreign threads end without a word to us: a thread-specific value has its destructor called.
void ThreadRegistry::AnnounceEndOfCaller() {
  static const pthread_key_t key = [] {
    pthread_key_t made;
    const int error = pthread_key_create(&made, [](void*) { ThreadRegistry::Get().EndThread(); });
    MEND_CHECK(error == 0, "no thread-specific key is left");
    return made;
  }();
  pthread_setspecific(key, &tls_thread_words);
}

ThreadRecord* ThreadRegistry::AddRecord() {
  ThreadRecord* record = nullptr;
  {
    MutexLock lock(&mu_);
    if (free_ != nullptr) {
      record = free_;
      free_ = record->next_free;
    }
  }
  const bool is_new = record == nullptr;
  if (is_new) {
    record = new (std::nothrow) ThreadRecord;
    if (record == nullptr) return nullptr;
  }
  record->ack.store(0, std::memory_order_relaxed);
  record->epoch.store(0, std::memory_order_relaxed);
  record->words.store(nullptr, std::memory_order_relaxed);
  record->tid.store(0, std::memory_order_relaxed);
  record->blocked_in.store(nullptr, std::memory_order_relaxed);
  record->handler_depth.store(0, std::memory_order_relaxed);
  record->adopted.store(false, std::memory_order_relaxed);
  record->suspended.store(false, std::memory_order_relaxed);
  // ORDER[T24]: after the id; pairs with PatchRegistry::State::MarkCanaryLocked.
  record->canary.store(0, std::memory_order_release);
  record->in_slow_path.store(false, std::memory_order_relaxed);
  record->signal_in_flight.store(false, std::memory_order_relaxed);
  record->straggler.transition_epoch.store(0, std::memory_order_relaxed);
  record->stack = {};
  record->alternate_stack = {};
  record->suspension_mark = 0;
  record->is_listed = false;
  record->stack_owner = 0;
  record->outermost_handler = 0;
  record->enter_depth = 0;
  record->outside_when_left = false;
  // Claimed: the coordinator takes it for a thread that is not done yet.
  record->activity.Set(Activity::kClaimed);
  if (is_new) {
    MutexLock lock(&mu_);
    record->next = head_.load(std::memory_order_relaxed);
    // ORDER[T6]: the record's contents before it is listed; pairs with ThreadRegistry::first.
    head_.store(record, std::memory_order_seq_cst);
  }
  // ORDER[T6]: listed before the thread reads the request, or its creator's state; pairs with
  // ThreadRegistry::births, which the coordinator reads after it published and scanned.
  births_.fetch_add(1, std::memory_order_seq_cst);
  return record;
}

void ThreadRegistry::FreeRecord(ThreadRecord* record) {
  MutexLock lock(&mu_);
  record->next_free = free_;
  free_ = record;
}

StackBounds ThreadRegistry::CallersStack(size_t stack_size) const {
  const bool is_first = RawSyscall(SYS_gettid) == RawSyscall(SYS_getpid);
  if (!is_first && !may_ask_for_stack_.load(std::memory_order_relaxed)) {
    return StackBelowDescriptor(stack_size);
  }
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return {};
  void* low = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  const uintptr_t high = reinterpret_cast<uintptr_t>(low) + size;
  // The process's own stack may grow when its limit is raised. The kernel maps nothing else into so
  // many bytes.
  constexpr size_t kMainStackGap = size_t{128} << 20;
  if (is_first && size < kMainStackGap) size = kMainStackGap;
  return {.low = high - size, .high = high};
}

void ThreadRegistry::BindToCaller(ThreadRecord* record, size_t stack_size) {
  ThreadWords& words = tls_thread_words;
  record->tid.store(static_cast<pid_t>(RawSyscall(SYS_gettid)), std::memory_order_relaxed);
  record->stack = CallersStack(stack_size);
  // With the failpoint, threads stop at every safepoint: see StopForTest.
  words.poll.store(MEND_FAILPOINT("safepoint/poll_always") ? 1 : 0, std::memory_order_relaxed);
  words.epoch.store(record->epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  // ORDER[T12]: the words' contents before the pointer; pairs with Coordinator::Visit.
  record->words.store(&words, std::memory_order_release);
}

ThreadRecord* ThreadRegistry::PrepareChild() {
  const Uninterrupted uninterrupted;
  ThreadRecord* const child = AddRecord();
  if (child == nullptr) return nullptr;
  InheritState(child);
  child->activity.ReleaseClaim(Activity::kStarting);
  return child;
}

void ThreadRegistry::InheritState(ThreadRecord* child) {
  const ThreadRecord* const creator = CurrentRecord();
  if (creator == nullptr) {
    Handshake::Get().Join(*child);
    return;
  }
  // The acknowledgement first: when the creator switches between the two loads, the child is merely
  // asked once more. The other way round it would pass for switched.
  const uint64_t ack = creator->ack.load(std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  child->epoch.store(creator->epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  // It stays while it is read: later ones are not answered for the child, which is listed.
  const SwitchRequest* const request = Handshake::Get().Current();
  const bool switched =
      request != nullptr && request->Meets(child->epoch.load(std::memory_order_relaxed));
  if (switched && request->switches && request->to_new && ack >= request->generation) {
    request->tally->ways[static_cast<size_t>(SwitchWay::kCreated)].fetch_add(
        1, std::memory_order_relaxed);
  }
  // ORDER[T5]: the epoch before the ack; pairs with Coordinator::Visit.
  child->ack.store(ack, std::memory_order_release);
}

void ThreadRegistry::AbandonChild(ThreadRecord* child) {
  while (!child->activity.TryResume(Activity::kStarting, Activity::kGone)) YieldProcessor();
  FreeRecord(child);
}

void ThreadRegistry::BeginThread(ThreadRecord* child, size_t stack_size) {
  tls_ownership = Ownership::kProgram;
  // Claimed by the thread itself: nobody switches it while its state moves into its words.
  while (!child->activity.TryResume(Activity::kStarting, Activity::kClaimed)) YieldProcessor();
  UnblockSafepointSignal();
  BindToCaller(child, stack_size);
  tls_thread_words.record.store(child, std::memory_order_relaxed);
  child->activity.ReleaseClaim(Activity::kRunning);
}

void ThreadRegistry::EndThread() {
  ThreadRecord* const record = CurrentRecord();
  if (record == nullptr) return;
  const Uninterrupted uninterrupted;
  // A host's thread ends outside of hosted code, where the coordinator may have it claimed.
  while (record->activity.Get() != Activity::kRunning &&
         !record->activity.TryResume(Activity::kOutside, Activity::kRunning) &&
         !record->activity.TryResume(Activity::kBlocked, Activity::kRunning)) {
    YieldProcessor();
  }
  EndContextsOf(record);
  // While it still counts: the request that it reads may be freed as soon as it does not.
  SwitchCallerAtBoundary(*record);
  record->activity.Set(Activity::kGone);
  record->AwaitSignal();
  // ORDER[T8]: the activity before this load; pairs with Coordinator::Visit.
  while (record->pinned.load(std::memory_order_seq_cst)) YieldProcessor();
  tls_thread_words.record.store(nullptr, std::memory_order_relaxed);
  tls_thread_words.epoch.store(0, std::memory_order_relaxed);
  record->words.store(nullptr, std::memory_order_relaxed);
  FreeRecord(record);
}

ThreadRecord* ThreadRegistry::RegisterCaller(Activity activity) {
  UnblockSafepointSignal();
  const Uninterrupted uninterrupted;
  MutexLock lock(&adoption_mu_);
  // The safepoint signal may have told it meanwhile that it was found.
  if (CurrentRecord() != nullptr) return CurrentRecord();
  // It may be in hosted code already, by a raw pointer: only a look at its stack can tell.
  if (ThreadRecord* const adopted = FindAdopted(static_cast<pid_t>(RawSyscall(SYS_gettid)));
      adopted != nullptr) {
    BindAdopted(adopted, &tls_thread_words);
    return adopted;
  }
  ThreadRecord* const record = AddRecord();
  MEND_CHECK(record != nullptr, "out of memory for a thread's record");
  Handshake::Get().Join(*record);
  BindToCaller(record, /*stack_size=*/0);
  tls_ownership = Ownership::kProgram;
  tls_thread_words.record.store(record, std::memory_order_relaxed);
  record->activity.ReleaseClaim(activity);
  return record;
}

bool ThreadRegistry::RegisterMainThread() {
  MEND_CHECK(CurrentRecord() == nullptr || CurrentRecord()->adopted.load(std::memory_order_relaxed),
             "a thread is registered twice");
  return !RegisterCaller(Activity::kRunning)->adopted.load(std::memory_order_relaxed);
}

void ThreadRegistry::Enter() {
  ThreadRecord* record = CurrentRecord();
  if (record == nullptr) {
    record = RegisterCaller(Activity::kOutside);
    if (!record->adopted.load(std::memory_order_relaxed)) AnnounceEndOfCaller();
  }
  if (record->enter_depth++ > 0) return;
  // A thread of the program, or an adopted one, is inside for all its life.
  record->outside_when_left = record->activity.Get() != Activity::kRunning;
  if (!record->outside_when_left) return;
  while (!record->activity.TryResume(Activity::kOutside, Activity::kRunning)) YieldProcessor();
  SwitchCallerAtBoundary(*record);
}

void ThreadRegistry::Leave() {
  ThreadRecord* const record = CurrentRecord();
  MEND_CHECK(record != nullptr && record->enter_depth > 0, "Leave without Enter");
  if (--record->enter_depth > 0 || !record->outside_when_left) return;
  SwitchCallerAtBoundary(*record);
  record->activity.Set(Activity::kOutside);
  record->AwaitSignal();
}

void ThreadRegistry::SetAlternateStack(StackBounds stack) {
  ThreadRecord* const record = CurrentRecord();
  if (record == nullptr) return;
  // The coordinator reads the bounds only of threads that it claimed; a handler on this thread may
  // see half of them, and then finds the walk out of bounds.
  record->alternate_stack = stack;
}

void ThreadRegistry::PrepareFork() {
  adoption_mu_.Lock();
  mu_.Lock();
}

void ThreadRegistry::ParentAfterFork() {
  mu_.Unlock();
  adoption_mu_.Unlock();
}

void ThreadRegistry::ChildAfterFork() {
  adoption_mu_.ResetAfterFork();
  mu_.ResetAfterFork();
  ThreadRecord* const own = CurrentRecord();
  const pid_t own_tid = own == nullptr ? -1 : own->tid.load(std::memory_order_relaxed);
  const auto new_tid = static_cast<pid_t>(RawSyscall(SYS_gettid));
  for (ThreadRecord* record = first(); record != nullptr; record = record->next) {
    // A signal that was on its way to the forking thread stays in the parent.
    record->signal_in_flight.store(false, std::memory_order_relaxed);
    record->pinned.store(false, std::memory_order_relaxed);
    if (record == own || record->activity.Get() == Activity::kGone) continue;
    // A context that no thread was on can go on in this one, but not another thread's own stack,
    // nor one that another thread was about to make.
    if (record->suspended.load(std::memory_order_relaxed) &&
        record->activity.Get() != Activity::kClaimed) {
      if (record->stack_owner == own_tid) record->stack_owner = new_tid;
      if (record->stack_owner == 0 || record->stack_owner == new_tid) continue;
    }
    UnlistContext(record);
    record->activity.Set(Activity::kGone);
    record->words.store(nullptr, std::memory_order_relaxed);
    FreeRecord(record);
  }
  if (own != nullptr) {
    if (own->stack_owner == own_tid) own->stack_owner = new_tid;
    own->tid.store(new_tid, std::memory_order_relaxed);
  }
}

void ThreadRegistry::MarkRuntimeThread() {
  MEND_CHECK(CurrentRecord() == nullptr, "a thread of the program cannot become the runtime's own");
  tls_ownership = Ownership::kRuntime;
}

bool ThreadRegistry::IsRuntimeThread() const {
  if (tls_creating_runtime_thread > 0) return true;
  if (tls_ownership == Ownership::kUnknown && CurrentRecord() == nullptr) {
    tls_ownership = SafepointSignalBlocked() ? Ownership::kRuntime : Ownership::kProgram;
  }
  return tls_ownership == Ownership::kRuntime;
}

int ThreadRegistry::AdoptUnknownThreads() {
#ifdef MEND_THREAD_SANITIZER
  return 0;  // without the signal (SendSafepointSignal) they could never answer
#endif
  // Nor without a signal of ours, under valgrind; the kernel's masks say nothing about anybody
  // there.
  if (!HasSafepointSignal()) return 0;
  // First the system's list, then ours: whoever is in the first and was announced is in the second.
  const std::vector<pid_t> tids = SystemThreads();
  MutexLock lock(&adoption_mu_);
  absl::flat_hash_set<pid_t> known;
  for (ThreadRecord* record = first(); record != nullptr; record = record->next) {
    if (record->activity.Get() == Activity::kGone) continue;
    // A context that no thread is on.
    if (record->suspended.load(std::memory_order_relaxed)) continue;
    if (record->adopted.load(std::memory_order_relaxed) && ReapAdoptedLocked(record)) continue;
    known.insert(record->tid.load(std::memory_order_relaxed));
  }
  // A starting thread exists already, maybe, and its record does not know its id yet.
  if (known.contains(0)) return -1;
  int adopted = 0;
  for (const pid_t tid : tids) {
    // Only the runtime's own threads block the signal.
    if (known.contains(tid) || ThreadBlocksSignal(tid, kSafepointSignal)) continue;
    ThreadRecord* const record = AddRecord();
    if (record == nullptr) break;
    record->tid.store(tid, std::memory_order_relaxed);
    record->adopted.store(true, std::memory_order_relaxed);
    record->epoch.store(1, std::memory_order_relaxed);
    record->activity.ReleaseClaim(Activity::kRunning);
    ++adopted;
  }
  return adopted;
}

ThreadRecord* ThreadRegistry::FindAdopted(pid_t tid) const {
  for (ThreadRecord* record = first(); record != nullptr; record = record->next) {
    if (record->activity.Get() != Activity::kGone &&
        record->adopted.load(std::memory_order_relaxed) &&
        record->tid.load(std::memory_order_relaxed) == tid) {
      return record;
    }
  }
  return nullptr;
}

void ThreadRegistry::BindAdopted(ThreadRecord* record, ThreadWords* words) noexcept
    [[clang::nonblocking]] {
  words->epoch.store(record->epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  words->record.store(record, std::memory_order_relaxed);
  record->words.store(words, std::memory_order_relaxed);
}

bool ThreadRegistry::ReapAdopted(ThreadRecord* record) {
  MutexLock lock(&adoption_mu_);
  return ReapAdoptedLocked(record);
}

bool ThreadRegistry::ReapAdoptedLocked(ThreadRecord* record) {
  const long pid = RawSyscall(SYS_getpid);
  const pid_t tid = record->tid.load(std::memory_order_relaxed);
  if (RawSyscall(SYS_tgkill, pid, tid, 0) == 0 && !IsAnnouncedThreads(tid)) return false;
  UnlistContext(record);
  record->activity.Set(Activity::kGone);
  record->words.store(nullptr, std::memory_order_relaxed);
  FreeRecord(record);
  return true;
}

void ThreadRegistry::FindStack(ThreadRecord* record) {
  record->stack = MappingAround(record->anchor.rsp);
}

}  // namespace mend
