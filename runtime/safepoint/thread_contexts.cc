// ThreadRegistry's part that is about contexts.
//
// A thread that goes from one context to another gives up one record and takes another:
//
//   old      kRunning -> kBlocked (or kGone), without words and id, in Depart, on its own stack
//   target   kBlocked or kStarting -> kClaimed in Depart, -> kRunning in Arrive, on its stack
//
// Between the two the thread runs nothing but the switch: the program's handlers are held back, and
// the safepoint signal is sent to neither record. So whoever looks at a record sees a stack at
// rest, or a thread that runs on it, and a context is waited for like any thread.
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/system_threads.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend {
namespace {

// Where the calling thread is about to arrive.
thread_local constinit ThreadRecord* tls_target __attribute__((tls_model("initial-exec"))) =
    nullptr;

// Takes a context that is not running from whoever wants to look at it.
bool ClaimForSelf(ThreadRecord& record) {
  return record.activity.TryResume(Activity::kBlocked, Activity::kClaimed) ||
         record.activity.TryResume(Activity::kStarting, Activity::kClaimed);
}

// The record does not count as running any more: waits until nobody is about to signal its thread
// or to write to its words.
void AwaitUnused(ThreadRecord& record) {
  record.AwaitSignal();
  // ORDER[T8]: the activity before this load; pairs with Coordinator::Visit.
  while (record.pinned.load(std::memory_order_seq_cst)) YieldProcessor();
}

}  // namespace

void ThreadRegistry::ListContext(ThreadRecord* record) {
  if (contexts_ == nullptr) contexts_ = new std::multimap<uintptr_t, ThreadRecord*>;
  contexts_->emplace(record->stack.high, record);
  record->is_listed = true;
  has_contexts_.store(true, std::memory_order_relaxed);
}

void ThreadRegistry::UnlistContext(ThreadRecord* record) {
  if (!record->is_listed) return;
  record->is_listed = false;
  const auto [first, last] = contexts_->equal_range(record->stack.high);
  const auto found =
      std::find_if(first, last, [record](const auto& entry) { return entry.second == record; });
  if (found != last) contexts_->erase(found);
}

// A suspended one, which the caller has claimed.
void ThreadRegistry::EndContext(ThreadRecord* record) {
  UnlistContext(record);
  record->activity.Set(Activity::kGone);
  AwaitUnused(*record);
  FreeRecord(record);
}

void ThreadRegistry::PrepareContext(StackBounds stack) {
  if (stack.low >= stack.high) return;
  const Uninterrupted uninterrupted;
  // Its only thread is not where libc's fast paths for one thread look for it (SingleThread).
  SingleThread::Leave();
  ThreadRecord* const made = AddRecord();
  MEND_CHECK(made != nullptr, "no memory for a context");
  made->stack = stack;
  made->suspended.store(true, std::memory_order_relaxed);
  InheritState(made);
  while (true) {
    bool retry = false;
    MutexLock lock(&adoption_mu_);
    if (contexts_ != nullptr) {
      // By the ends of their stacks: none of those before lies in this one.
      for (auto at = contexts_->upper_bound(stack.low); at != contexts_->end();) {
        ThreadRecord* const other = (at++)->second;
        if (other->stack.low >= stack.high) break;
        const bool around = other->stack.low <= stack.low && other->stack.high >= stack.high;
        const bool same = other->stack.low == stack.low && other->stack.high == stack.high;
        if ((around && !same) || !other->suspended.load(std::memory_order_relaxed)) continue;
        if (ClaimForSelf(*other)) {
          EndContext(other);
        } else {
          retry = true;
        }
      }
    }
    if (!retry) {
      ListContext(made);
      break;
    }
  }
  made->activity.ReleaseClaim(Activity::kStarting);
}

// The context that is to go on at `rsp`, claimed; null: none that the caller may take. A stack that
// nobody has told of is one from now on, and has the caller's state: nobody knows better.
ThreadRecord* ThreadRegistry::ClaimContextAt(uintptr_t rsp, bool* retry) {
  ThreadRecord* const own = CurrentRecord();
  *retry = false;
  for (auto at = contexts_->upper_bound(rsp); at != contexts_->end(); ++at) {
    ThreadRecord* const found = at->second;
    if (!found->stack.Contains(rsp)) continue;
    if (found == own || !found->suspended.load(std::memory_order_relaxed)) return nullptr;
    if (ClaimForSelf(*found)) return found;
    *retry = true;
    return nullptr;
  }
  const StackBounds mapping = MappingAround(rsp);
  ThreadRecord* const made = mapping.high == 0 ? nullptr : AddRecord();
  if (made == nullptr) return nullptr;
  made->stack = mapping;
  InheritState(made);
  ListContext(made);
  return made;
}

bool ThreadRegistry::SwitchContext(uintptr_t rsp, const RegisterContext* anchor, uintptr_t* mark) {
  ThreadRecord* const old = CurrentRecord();
  if (old == nullptr || old->activity.Get() != Activity::kRunning) return false;
  // A thread that was merely found, and whose stack nobody has looked up yet.
  if (old->stack.high == 0) return false;
  const pid_t tid = old->tid.load(std::memory_order_relaxed);
  Uninterrupted::Begin();
  bool retry = true;
  while (retry) {
    MutexLock lock(&adoption_mu_);
    if (!old->is_listed) {
      // Or a stack that it went to before anybody knew it.
      const bool own = anchor == nullptr || old->stack.Contains(anchor->rsp) ||
                       old->alternate_stack.Contains(anchor->rsp);
      if (!own) old->stack = MappingAround(anchor->rsp);
      old->stack_owner = own ? tid : 0;
      ListContext(old);
    }
    ThreadRecord* const target = ClaimContextAt(rsp, &retry);
    if (target == nullptr) continue;
    target->tid.store(tid, std::memory_order_relaxed);
    target->adopted.store(old->adopted.load(std::memory_order_relaxed), std::memory_order_relaxed);
    target->alternate_stack = old->alternate_stack;
    target->suspended.store(false, std::memory_order_relaxed);
    // Not the words of a thread that runs something else, for whoever claims it from here on.
    old->words.store(nullptr, std::memory_order_relaxed);
    if (anchor != nullptr) {
      old->anchor = *anchor;
      *mark = reinterpret_cast<uintptr_t>(old);
      old->suspension_mark = reinterpret_cast<uintptr_t>(mark);
      old->suspended.store(true, std::memory_order_relaxed);
    } else {
      UnlistContext(old);
    }
    old->activity.Set(anchor != nullptr ? Activity::kBlocked : Activity::kGone);
    // The signal is for the record that the thread's words name.
    AwaitUnused(*old);
    tls_thread_words.record.store(target, std::memory_order_relaxed);
    tls_target = target;
    old->tid.store(0, std::memory_order_relaxed);
    if (anchor == nullptr) FreeRecord(old);
    return true;
  }
  Uninterrupted::End();
  return false;
}

bool ThreadRegistry::Depart(uintptr_t rsp, const RegisterContext& anchor, uintptr_t* mark) {
  StayInside();
  return SwitchContext(rsp, &anchor, mark);
}

bool ThreadRegistry::DepartForGood(uintptr_t rsp) { return SwitchContext(rsp, nullptr, nullptr); }

void ThreadRegistry::Arrive() {
  ThreadRecord* const record = tls_target;
  if (record == nullptr) return;
  tls_target = nullptr;
  ThreadWords& words = tls_thread_words;
  words.epoch.store(record->epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  const SwitchRequest* const request = Handshake::Get().Current();
  // A scan that comes later sees the thread running, and sets the byte itself.
  if (request != nullptr && record->ack.load(std::memory_order_relaxed) < request->generation) {
    words.poll.store(1, std::memory_order_relaxed);
  }
  // ORDER[T12]: the words' contents before the pointer; pairs with Coordinator::Visit.
  record->words.store(&words, std::memory_order_release);
  record->activity.ReleaseClaim(Activity::kRunning);
  Uninterrupted::End();
}

void ThreadRegistry::StayInside() {
  ThreadRecord* record = CurrentRecord();
  if (record == nullptr) {
    record = RegisterCaller(Activity::kOutside);
    if (!record->adopted.load(std::memory_order_relaxed)) AnnounceEndOfCaller();
  }
  record->outside_when_left = false;
  // Or claimed, from there.
  for (Activity now = record->activity.Get();
       now == Activity::kOutside || now == Activity::kClaimed; now = record->activity.Get()) {
    if (record->activity.TryResume(Activity::kOutside, Activity::kRunning)) {
      SwitchCallerAtBoundary(*record);
      return;
    }
    YieldProcessor();
  }
}

void ThreadRegistry::ForgetContextOn(StackBounds stack) {
  const Uninterrupted uninterrupted;
  while (has_contexts()) {
    MutexLock lock(&adoption_mu_);
    const auto [first, last] = contexts_->equal_range(stack.high);
    const auto found = std::find_if(first, last, [stack](const auto& entry) {
      return entry.second->stack.low == stack.low && entry.second->suspended.load();
    });
    if (found == last) return;
    if (!ClaimForSelf(*found->second)) continue;
    return EndContext(found->second);
  }
}

void ThreadRegistry::ForgetContext(ThreadRecord* record) {
  MutexLock lock(&adoption_mu_);
  EndContext(record);
}

void ThreadRegistry::EndContextsOf(ThreadRecord* record) {
  if (!has_contexts()) return;
  const pid_t tid = record->tid.load(std::memory_order_relaxed);
  while (true) {
    MutexLock lock(&adoption_mu_);
    UnlistContext(record);
    const auto own = std::find_if(contexts_->begin(), contexts_->end(), [tid](const auto& entry) {
      return entry.second->stack_owner == tid;
    });
    if (own == contexts_->end()) return;
    if (ClaimForSelf(*own->second)) EndContext(own->second);
  }
}

}  // namespace mend
