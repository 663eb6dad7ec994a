#include "runtime/shadow/shadow_variable.h"

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/uninterrupted.h"

namespace mend {
namespace {

union TableHolder {
  constexpr TableHolder() : table() {}
  ~TableHolder() {}
  ShadowTable table;
};
constinit TableHolder table_holder;

uintptr_t ThreadMark() { return reinterpret_cast<uintptr_t>(__builtin_thread_pointer()); }

// Spreads addresses, whose low bits are alike.
size_t Mix(uintptr_t key) { return (key * 0x9e37'79b9'7f4a'7c15) >> 32; }

}  // namespace

struct alignas(std::max_align_t) ShadowTable::Variable {
  void* object;
  unsigned long id;
  std::atomic<Variable*> next;
  Variable* next_dead;

  void* data() { return this + 1; }
};

// Holds the table's lock, and says who does.
class ABSL_SCOPED_LOCKABLE ShadowTable::Holder {
 public:
  explicit Holder(ShadowTable* table) ABSL_EXCLUSIVE_LOCK_FUNCTION(table->mu_) : table_(table) {
    table_->mu_.Lock();
    table_->holder_.store(ThreadMark(), std::memory_order_relaxed);
  }
  ~Holder() ABSL_UNLOCK_FUNCTION() {
    table_->holder_.store(0, std::memory_order_relaxed);
    table_->mu_.Unlock();
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  // A handler of the program's that forks would wait for the lock for ever.
  const Uninterrupted uninterrupted_;
  ShadowTable* const table_;
};

ShadowTable& ShadowTable::Get() { return table_holder.table; }

size_t ShadowTable::BucketOf(const void* object) {
  return Mix(reinterpret_cast<uintptr_t>(object) >> 4) % kBuckets;
}

ShadowTable::Row& ShadowTable::RowOfCaller() const { return rows_[Mix(ThreadMark() >> 6) % kRows]; }

void* ShadowTable::Find(const void* object, unsigned long id) const noexcept {
  Row& row = RowOfCaller();
  const unsigned column = column_.load(std::memory_order_relaxed);
  // ORDER[S1]: counted before the walk begins; pairs with ColumnIsEmpty, which follows the
  // unlinking. One of the two sees the other.
  row.readers[column].fetch_add(1, std::memory_order_seq_cst);
  Variable* const variable = FindIn(BucketOf(object), object, id);
  void* const data = variable == nullptr ? nullptr : variable->data();
  // ORDER[S2]: the walk before the count goes down; pairs with ColumnIsEmpty before the freeing.
  row.readers[column].fetch_sub(1, std::memory_order_release);
  return data;
}

ShadowTable::Variable* ShadowTable::FindIn(size_t bucket, const void* object,
                                           unsigned long id) const noexcept {
  // ORDER[S1]: after the count; pairs with Unlink.
  // ORDER[S3]: the link before the variable's contents; pairs with AllocateUnlessThere.
  Variable* variable = buckets_[bucket].load(std::memory_order_seq_cst);
  while (variable != nullptr && (variable->object != object || variable->id != id)) {
    variable = variable->next.load(std::memory_order_seq_cst);  // ORDER[S1], ORDER[S3]: as above.
  }
  return variable;
}

void* ShadowTable::Allocate(void* object, unsigned long id, const ShadowRequest& request) {
  return AllocateUnlessThere(object, id, request, /*there_is_fine=*/false);
}

void* ShadowTable::FindOrAllocate(void* object, unsigned long id, const ShadowRequest& request) {
  return AllocateUnlessThere(object, id, request, /*there_is_fine=*/true);
}

void* ShadowTable::AllocateUnlessThere(void* object, unsigned long id, const ShadowRequest& request,
                                       bool there_is_fine) {
  void* there = Find(object, id);
  int error = 0;
  if (there == nullptr) {
    if (RefusesCallback("allocated")) return nullptr;
    if (request.size > std::numeric_limits<size_t>::max() - sizeof(Variable)) return nullptr;
    // Before the lock (V2). Zeroed.
    auto* const spare = static_cast<Variable*>(std::calloc(1, sizeof(Variable) + request.size));
    if (spare == nullptr) return nullptr;
    spare->object = object;
    spare->id = id;
    {
      const Holder holder(this);
      Reclaim();
      const size_t bucket = BucketOf(object);
      Variable* const meanwhile = FindIn(bucket, object, id);
      if (meanwhile != nullptr) {
        there = meanwhile->data();
      } else {
        if (request.constructor != nullptr) {
          error = request.constructor(object, spare->data(), request.constructor_data);
        }
        if (error == 0) {
          spare->next.store(buckets_[bucket].load(std::memory_order_relaxed),
                            std::memory_order_relaxed);
          // ORDER[S3]: the contents before the link; pairs with FindIn.
          buckets_[bucket].store(spare, std::memory_order_release);
          return spare->data();
        }
      }
    }
    std::free(spare);
  }
  if (error != 0) {
    Warn("Failed to construct shadow variable <%p, %lx> (%d)", object, id, error);
    return nullptr;
  }
  if (there_is_fine) return there;
  Warn("Duplicate shadow variable <%p, %lx>", object, id, 0);
  return nullptr;
}

void ShadowTable::Free(void* object, unsigned long id, mend_shadow_dtor destructor) {
  if (RefusesCallback("freed")) return;
  const Holder holder(this);
  Bucket* link = &buckets_[BucketOf(object)];
  while (Variable* const variable = link->load(std::memory_order_relaxed)) {
    if (variable->object == object && variable->id == id) {
      Unlink(link, variable, destructor);
      break;
    }
    link = &variable->next;
  }
  Reclaim();
}

void ShadowTable::FreeAll(unsigned long id, mend_shadow_dtor destructor) {
  if (RefusesCallback("freed")) return;
  const Holder holder(this);
  for (Bucket& bucket : buckets_) {
    Bucket* link = &bucket;
    while (Variable* const variable = link->load(std::memory_order_relaxed)) {
      if (variable->id == id) {
        Unlink(link, variable, destructor);
      } else {
        link = &variable->next;
      }
    }
  }
  Reclaim();
}

void ShadowTable::Unlink(Bucket* link, Variable* variable, mend_shadow_dtor destructor) {
  // Its own link stays: a Find that stands on it goes on.
  // ORDER[S1]: unlinked before the columns are looked at; pairs with Find.
  link->store(variable->next.load(std::memory_order_relaxed), std::memory_order_seq_cst);
  if (destructor != nullptr) destructor(variable->object, variable->data());
  variable->next_dead = unlinked_;
  unlinked_ = variable;
}

bool ShadowTable::ColumnIsEmpty(unsigned column) const {
  for (const Row& row : rows_) {
    // ORDER[S1]: after the unlinking; pairs with Find's count.
    // ORDER[S2]: before the freeing; pairs with the end of Find.
    if (row.readers[column].load(std::memory_order_seq_cst) != 0) return false;
  }
  return true;
}

void ShadowTable::Reclaim() {
  if (waiting_ == nullptr) {
    waiting_ = std::exchange(unlinked_, nullptr);
    changed_ = false;
  }
  if (waiting_ == nullptr) return;
  const unsigned column = column_.load(std::memory_order_relaxed);
  if (!changed_) {
    if (!ColumnIsEmpty(1 - column)) return;
    column_.store(1 - column, std::memory_order_relaxed);
    changed_ = true;
  }
  if (!ColumnIsEmpty(1 - column_.load(std::memory_order_relaxed))) return;
  while (waiting_ != nullptr) std::free(std::exchange(waiting_, waiting_->next_dead));
}

bool ShadowTable::RefusesCallback(const char* what) const {
  if (holder_.load(std::memory_order_relaxed) != ThreadMark()) return false;
  if (EventLog* const events = events_.load(std::memory_order_relaxed); events != nullptr) {
    events->Append(MendEvent("misuse", "",
                             absl::StrCat("a shadow variable cannot be ", what,
                                          " by a constructor or destructor of another")));
  }
  return true;
}

void ShadowTable::Warn(const char* format, const void* object, unsigned long id, int error) const {
  EventLog* const events = events_.load(std::memory_order_relaxed);
  if (events == nullptr) return;
  char text[128];
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(text, sizeof text, format, object, id, error);
#pragma clang diagnostic pop
  events->Append(LivepatchEvent("shadow", "", text));
}

void ShadowTable::PrepareFork() { mu_.Lock(); }

void ShadowTable::ParentAfterFork() { mu_.Unlock(); }

void ShadowTable::ChildAfterFork() {
  // Whoever was in a Find is not here, and will not count itself out.
  for (Row& row : rows_) {
    for (std::atomic<uint64_t>& readers : row.readers) readers.store(0, std::memory_order_relaxed);
  }
  mu_.ResetAfterFork();
}

size_t ShadowTable::LiveForTest() const {
  size_t live = 0;
  for (const Bucket& bucket : buckets_) {
    const Variable* variable = bucket.load(std::memory_order_relaxed);
    for (; variable != nullptr; variable = variable->next.load(std::memory_order_relaxed)) ++live;
  }
  return live;
}

size_t ShadowTable::PendingForTest() const {
  mu_.Lock();
  size_t pending = 0;
  for (const Variable* dead : {unlinked_, waiting_}) {
    for (; dead != nullptr; dead = dead->next_dead) ++pending;
  }
  mu_.Unlock();
  return pending;
}

}  // namespace mend
