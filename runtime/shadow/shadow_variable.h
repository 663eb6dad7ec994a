// ShadowTable: data that patches attach to live objects, by <object, id> (rules 1.11, V1..V6).
//
// The object's address is a key and never dereferenced. A variable lives until it is freed,
// whatever becomes of the patch that made it. How long its data is used, and by whom, is the
// caller's business, as in the kernel.
//
// Find takes no lock, allocates nothing and may be called from signal handlers. Everything else
// holds one lock while it changes the table; constructors and destructors run under it, so they
// must not sleep, and must not call back (that returns null, or does nothing, and says so in the
// log).
//
// What is unlinked may still be walked over by a Find, so it is freed later: Finds count themselves
// in one of two columns of a row of their own, and the reclaimer waits, without blocking, for both
// columns to have been empty since the unlinking.
//   1. The other column is empty: whoever counted there before is through. Then the columns change
//      places for new Finds.
//   2. Now the column from before is empty too: free.
// A Find that took its column before the change and counts late begins its walk after the
// unlinking.
#ifndef MEND_RUNTIME_SHADOW_SHADOW_VARIABLE_H_
#define MEND_RUNTIME_SHADOW_SHADOW_VARIABLE_H_

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "runtime/base/event_log.h"
#include "runtime/base/mutex.h"
#include "runtime/patch/livepatch_abi.h"

namespace mend {

struct ShadowRequest {
  size_t size = 0;
  mend_shadow_ctor constructor = nullptr;  // may be null: zeroed memory
  void* constructor_data = nullptr;
};

class ShadowTable {
 public:
  // The one of this process; constant-initialised, never destroyed.
  static ShadowTable& Get();

  constexpr ShadowTable() = default;
  ShadowTable(const ShadowTable&) = delete;
  ShadowTable& operator=(const ShadowTable&) = delete;

  // Where warnings go; null: nowhere.
  void SetLog(EventLog* events) { events_.store(events, std::memory_order_relaxed); }

  // The variable's data, or null.
  void* Find(const void* object, unsigned long id) const noexcept;
  // New data, zeroed, constructed. Null: it exists (logged), the constructor refused (logged), or
  // there is no memory; nothing is attached then.
  void* Allocate(void* object, unsigned long id, const ShadowRequest& request);
  // The data that is there, else as Allocate. Of several callers one allocates.
  void* FindOrAllocate(void* object, unsigned long id, const ShadowRequest& request);
  void Free(void* object, unsigned long id, mend_shadow_dtor destructor);
  void FreeAll(unsigned long id, mend_shadow_dtor destructor);

  // Around fork, in the forking thread.
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // How many variables are attached, and how many wait to be freed.
  size_t LiveForTest() const;
  size_t PendingForTest() const;

 private:
  struct Variable;  // its data follows it
  static constexpr size_t kBuckets = 4096;
  static constexpr size_t kRows = 64;

  struct alignas(64) Row {
    std::atomic<uint64_t> readers[2] = {};
  };
  using Bucket = std::atomic<Variable*>;

  class Holder;

  static size_t BucketOf(const void* object);
  Row& RowOfCaller() const;
  void* AllocateUnlessThere(void* object, unsigned long id, const ShadowRequest& request,
                            bool there_is_fine);
  Variable* FindIn(size_t bucket, const void* object, unsigned long id) const noexcept;
  void Unlink(Bucket* link, Variable* variable, mend_shadow_dtor destructor)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Reclaim() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool ColumnIsEmpty(unsigned column) const;
  bool RefusesCallback(const char* what) const;
  void Warn(const char* format, const void* object, unsigned long id, int error) const;

  std::atomic<EventLog*> events_{nullptr};
  mutable Row rows_[kRows];
  std::atomic<unsigned> column_{0};  // for new Finds; written by the reclaimer
  Bucket buckets_[kBuckets] = {};

  mutable Mutex mu_;
  // The thread that holds the lock, for RefusesCallback: a thread finds itself here only if it
  // wrote itself.
  std::atomic<uintptr_t> holder_{0};
  Variable* unlinked_ ABSL_GUARDED_BY(mu_) = nullptr;  // since the last step 1
  Variable* waiting_ ABSL_GUARDED_BY(mu_) = nullptr;   // for step 1 or 2
  bool changed_ ABSL_GUARDED_BY(mu_) = false;          // waiting for step 2
};

}  // namespace mend

#endif  // MEND_RUNTIME_SHADOW_SHADOW_VARIABLE_H_
