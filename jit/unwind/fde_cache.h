// FdeCache: answers that _Unwind_Find_FDE has given before. An exception asks for each frame twice
// (it is searched, then unwound), and a program throws from the same places: without it every one
// of these questions would count itself in and out of the UnwindTable, on a cache line that all
// threads share, and search twice.
//
// Thread safety: lock-free for readers and writers, in signal handlers too; a writer that meets
// another one gives up. A set of the fixed size, in which an answer displaces the one that was
// there.
//
// Invariants:
// 1. A row's fields change only while its sequence number is odd.
// 2. A row counts only if its epoch is the present one. Every change of the table is followed by a
//    new epoch, before text that is new runs, and before memory of what is gone is used again.
//
// A fork in the middle of a Put leaves the child a row that is never written again: a loss of one.
#ifndef MEND_JIT_UNWIND_FDE_CACHE_H_
#define MEND_JIT_UNWIND_FDE_CACHE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mend::jit {

class FdeCache {
 public:
  struct Answer {
    const void* fde = nullptr;  // null: not hosted text
    void* function = nullptr;   // where what it describes begins
  };

  constexpr FdeCache() = default;
  FdeCache(const FdeCache&) = delete;
  FdeCache& operator=(const FdeCache&) = delete;

  // After text was added to the table or removed from it: no earlier answer counts.
  void Forget() noexcept { epoch_.fetch_add(1, std::memory_order_seq_cst); }
  // To be read before the answer is looked up that Put gets.
  uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_seq_cst); }

  bool Find(uintptr_t pc, Answer* answer) const noexcept {
    const Row& row = rows_[Place(pc)];
    // ORDER[T26]: the sequence number before the fields; pairs with FdeCache::Put.
    const uint32_t before = row.sequence.load(std::memory_order_acquire);
    if (row.pc.load(std::memory_order_acquire) != pc) return false;
    const uint64_t of_row = row.epoch.load(std::memory_order_acquire);
    answer->fde = row.fde.load(std::memory_order_acquire);
    answer->function = row.function.load(std::memory_order_acquire);
    return (before & 1) == 0 && row.sequence.load(std::memory_order_relaxed) == before &&
           of_row == epoch();
  }

  void Put(uint64_t epoch, uintptr_t pc, const Answer& answer) noexcept {
    Row& row = rows_[Place(pc)];
    uint32_t before = row.sequence.load(std::memory_order_relaxed);
    if ((before & 1) != 0 ||
        !row.sequence.compare_exchange_strong(before, before + 1, std::memory_order_acquire)) {
      return;
    }
    // ORDER[T26]: the odd number before each field, the fields before the even one; pairs with
    // FdeCache::Find, which sees the change of the number if it sees a field of it.
    row.pc.store(pc, std::memory_order_release);
    row.epoch.store(epoch, std::memory_order_release);
    row.fde.store(answer.fde, std::memory_order_release);
    row.function.store(answer.function, std::memory_order_release);
    row.sequence.store(before + 2, std::memory_order_release);
  }

 private:
  struct alignas(64) Row {
    std::atomic<uint32_t> sequence{0};
    std::atomic<uintptr_t> pc{0};
    std::atomic<uint64_t> epoch{0};
    std::atomic<const void*> fde{nullptr};
    std::atomic<void*> function{nullptr};
  };
  static constexpr size_t kRows = 256;

  // Frames of one function are some bytes apart, functions 16 at least.
  static size_t Place(uintptr_t pc) { return (pc ^ (pc >> 8)) % kRows; }

  std::atomic<uint64_t> epoch_{1};
  std::array<Row, kRows> rows_;
};

// The process's. Of all sessions, one after the other.
FdeCache& ProcessFdeCache();

}  // namespace mend::jit

#endif  // MEND_JIT_UNWIND_FDE_CACHE_H_
