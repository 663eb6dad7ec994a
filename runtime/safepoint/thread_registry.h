// ThreadRegistry: every thread that may run hosted code, from before its first hosted frame until
// after its last.
//
// Who calls it: guest_libc (pthread_create, fork), the program's start, mend::Function (enter and
// leave), the coordinator (iteration).
// Thread safety: all methods are thread-safe; the ones marked so are async-signal-safe.
#ifndef MEND_RUNTIME_SAFEPOINT_THREAD_REGISTRY_H_
#define MEND_RUNTIME_SAFEPOINT_THREAD_REGISTRY_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"
#include "runtime/safepoint/thread_record.h"
#include "runtime/safepoint/thread_state.h"

namespace mend {

// How a context that no thread runs is called where threads have names.
inline constexpr char kSuspendedContext[] = "suspended context";

class ThreadRegistry {
 public:
  // The registry of this process; constant-initialised, never destroyed.
  static ThreadRegistry& Get();

  // --- a thread of the hosted program: its whole life counts ---

  // Called by the creator: makes the child's record, kStarting, with the creator's epoch and
  // pending switch (rule T12). Never fails: aborts the creation by returning null when out of
  // memory (the caller answers EAGAIN).
  ThreadRecord* PrepareChild();
  // The creation failed after all.
  void AbandonChild(ThreadRecord* child);
  // Called by the child, first thing: kStarting -> kRunning, words filled in. `stack_size`: what it
  // was created with, or 0 for libc's default.
  void BeginThread(ThreadRecord* child, size_t stack_size = 0);
  // Called by the thread, last thing (after its TLS destructors), without a hosted frame: answers
  // what is asked of it, and the record goes back.
  void EndThread();
  // The thread that starts the program registers itself: kRunning. False when the thread was found
  // before by AdoptUnknownThreads: then it has its record for good, and does not end it.
  bool RegisterMainThread();

  // --- a foreign thread that calls hosted code now and then (mend::Function) ---

  // Enters hosted code: adopts the thread when it is new (kOutside), then kOutside -> kRunning,
  // waiting while the coordinator has it claimed. Nested calls count.
  void Enter();
  // Leaves: when this was the outermost, switches the thread at the boundary if a switch is
  // pending, then kRunning -> kOutside.
  void Leave();

  // --- what the guest tells ---

  // The thread's signal stack, from the interposed sigaltstack; {0,0} when disabled.
  void SetAlternateStack(StackBounds stack);
  // Told by a thread that is about to confine itself to calls without sched_getaffinity, for the
  // whole process and its children: libc makes that call when a thread asks where its stack is.
  void ForgoStackQuery() { may_ask_for_stack_.store(false, std::memory_order_relaxed); }

  // --- contexts: stacks that threads leave and come back to (makecontext, swapcontext) ---
  //
  // To the core a context is a thread: it has a record, hence a patch state of its own, which goes
  // with it to whichever thread runs it; and a transition waits for it while none does. A thread's
  // own stack is a context too, from when it is first left. Each stack has one record at most;
  // where stacks lie within others (an array in a frame), an address belongs to the innermost.

  // A context that has not begun, on `stack`, with the caller's patch state. What was suspended
  // there before is forgotten.
  void PrepareContext(StackBounds stack);
  // The caller is about to go on at `rsp` and to call Arrive there; until then it is Uninterrupted.
  // The context that it leaves stands at `anchor` for whoever looks at it, and *mark, on its stack,
  // stays as it is while it is left. False: nothing to do, and no Arrive, since `rsp` is on the
  // stack that the caller is on, or on one that another thread is on. A thread of an embedding host
  // counts for all its life from now on, as the program's do, since nobody can say which stack's
  // business it is outside for.
  bool Depart(uintptr_t rsp, const RegisterContext& anchor, uintptr_t* mark);
  // The same, and the context that it leaves is over. False, too, when nobody knows the caller.
  bool DepartForGood(uintptr_t rsp);
  // Nothing, when the caller has not departed for anywhere.
  void Arrive();
  // Whoever made the context on this stack says that nobody will go back to it.
  void ForgetContextOn(StackBounds stack);
  // Whether there has ever been a context; what is said of a program's only thread is void then.
  bool has_contexts() const { return has_contexts_.load(std::memory_order_relaxed); }

  // --- fork: called around the real fork, in the forking thread ---
  // In the child only the forking thread is left; it keeps its state.
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // Marks the calling thread as the runtime's own: never registered, never signalled; threads that
  // it creates are the runtime's own too.
  void MarkRuntimeThread();
  // Also true while the caller creates a runtime thread, and for the children of runtime threads:
  // they inherit a mask that blocks the safepoint signal, which no thread of the program can have.
  bool IsRuntimeThread() const;

  // --- the coordinator ---

  // The head of the list of all records, the newest first; those of dead threads are kGone.
  ThreadRecord* first() const {
    // ORDER[T6]: the list before the records' contents; pairs with ThreadRegistry::AddRecord.
    return head_.load(std::memory_order_seq_cst);
  }
  // Counts up whenever a record comes to life. A scan saw every thread iff the count is the same
  // before and after it.
  uint64_t births() const {
    // ORDER[T6]: read after the scan; pairs with AddRecord.
    return births_.load(std::memory_order_seq_cst);
  }
  // Gives a record to every operating system thread of the process that has none and is not the
  // runtime's own (a raw clone, a thread older than the runtime). They are signalled to join in.
  // Returns how many it found; -1 when it cannot tell yet, because a thread is just starting.
  int AdoptUnknownThreads();
  // An adopted thread's end is not announced: asks the system, and lets the record go. True if it
  // is gone.
  bool ReapAdopted(ThreadRecord* record);
  // Looks up the stack of an adopted thread that has told where it stands.
  void FindStack(ThreadRecord* record);
  // The memory of a suspended context's stack has gone or is used for something else: nobody can
  // come back to it. REQUIRES: the caller has claimed it.
  void ForgetContext(ThreadRecord* record);
  // The thread whose words these are learns that it has been adopted. Async-signal-safe.
  static void BindAdopted(ThreadRecord* record, ThreadWords* words) noexcept [[clang::nonblocking]];

  static ThreadRecord* CurrentRecord() {
    return tls_thread_words.record.load(std::memory_order_relaxed);
  }

  constexpr ThreadRegistry() = default;
  ThreadRegistry(const ThreadRegistry&) = delete;
  ThreadRegistry& operator=(const ThreadRegistry&) = delete;

 private:
  // A listed record, claimed by the caller, with nothing acknowledged. Null when out of memory.
  ThreadRecord* AddRecord();
  void FreeRecord(ThreadRecord* record);
  void BindToCaller(ThreadRecord* record, size_t stack_size);
  StackBounds CallersStack(size_t stack_size) const;
  static void SwitchCallerAtBoundary(ThreadRecord& record) noexcept;
  static void AnnounceEndOfCaller();
  // A new record gets the caller's patch state, or what Join says. It stays claimed.
  void InheritState(ThreadRecord* child);
  ThreadRecord* RegisterCaller(Activity activity);
  // The record that AdoptUnknownThreads gave to a thread; null if none.
  ThreadRecord* FindAdopted(pid_t tid) const;

  // Stays in an Uninterrupted scope if it succeeds.
  bool SwitchContext(uintptr_t rsp, const RegisterContext* anchor, uintptr_t* mark);
  void StayInside();
  ThreadRecord* ClaimContextAt(uintptr_t rsp, bool* retry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(adoption_mu_);
  void ListContext(ThreadRecord* record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(adoption_mu_);
  void UnlistContext(ThreadRecord* record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(adoption_mu_);
  void EndContext(ThreadRecord* record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(adoption_mu_);
  // The contexts that the calling thread, which ends, will not come back to.
  void EndContextsOf(ThreadRecord* record);
  bool ReapAdoptedLocked(ThreadRecord* record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(adoption_mu_);

  std::atomic<ThreadRecord*> head_{nullptr};
  std::atomic<uint64_t> births_{0};
  // Relaxed: threads that this concerns are created after it is set.
  std::atomic<bool> may_ask_for_stack_{true};

  // Whoever gives a record to a thread that exists already, the thread itself or somebody who has
  // found it, holds this while it looks whether there is one, so that no thread has two: the second
  // would never be answered for. Nests inside the patch registry's mutex.
  Mutex adoption_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  // By the ends of their stacks; made when the first one is, for good.
  std::multimap<uintptr_t, ThreadRecord*>* contexts_ ABSL_GUARDED_BY(adoption_mu_) = nullptr;
  std::atomic<bool> has_contexts_{false};
  // Protects the free list; not the list of records, which only grows. Nests
  // inside the patch registry's mutex.
  Mutex mu_;
  ThreadRecord* free_ ABSL_GUARDED_BY(mu_) = nullptr;
};

// While one exists, the calling thread is creating a thread of the runtime's own.
class CreatingRuntimeThread {
 public:
  CreatingRuntimeThread() noexcept;
  ~CreatingRuntimeThread();
  CreatingRuntimeThread(const CreatingRuntimeThread&) = delete;
  CreatingRuntimeThread& operator=(const CreatingRuntimeThread&) = delete;
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_THREAD_REGISTRY_H_
