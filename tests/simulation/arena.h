// The memory of one history. Nothing that is freed is used again before the history ends, so a use
// after free is a certain finding, not a likely one; and a history that was dropped in the middle
// leaves nothing behind.
#ifndef MEND_TESTS_SIMULATION_ARENA_H_
#define MEND_TESTS_SIMULATION_ARENA_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/simulation/scheduler.h"
#include "tests/simulation/slabs.h"

namespace mend::simulation {

class Arena {
 public:
  static Arena& Get() {
    static constinit Arena arena;
    return arena;
  }

  // Between histories. What was allocated is gone.
  void Begin() {
    if (begin_ == nullptr) {
      begin_ = static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
      if (begin_ == MAP_FAILED) abort();
    }
    memset(freed_, 0, used_ / kGranule);
    used_ = 0;
    active_ = true;
    compact_ = false;
  }
  void End() { active_ = false; }
  bool active() const { return active_; }
  // The same for a history whose states are told apart by what is in memory: as little of it as
  // possible may depend on how the history came there. So memory is used again, see Slabs.
  void BeginCompact() {
    compact_ = active_ = true;
    slabs_.Begin();
  }
  bool is_compact() const { return compact_; }
  Slabs& slabs() { return slabs_; }
  // Whoever looks at a history from outside keeps its own memory elsewhere.
  class Pause {
   public:
    Pause() : was_active_(std::exchange(Get().active_, false)) {}
    ~Pause() { Get().active_ = was_active_; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    const bool was_active_;
  };

  void* Allocate(size_t size) {
    if (compact_) return slabs_.Allocate(size, Region());
    const size_t bytes = (size + kHeader + kGranule - 1) / kGranule * kGranule;
    if (bytes > kBytes - used_) abort();
    char* const block = begin_ + used_;
    *reinterpret_cast<size_t*>(block) = bytes;
    used_ += bytes;
    return block + kHeader;
  }
  // What only that fiber has.
  void* AllocateFor(const Fiber& fiber, size_t size) {
    return compact_ ? slabs_.Allocate(size, RegionOf(fiber)) : Allocate(size);
  }
  // False when the block is none of the arena's.
  bool Free(void* pointer) {
    if (slabs_.Owns(pointer)) {
      if (active_) slabs_.Free(pointer);
      return true;
    }
    char* const block = static_cast<char*>(pointer);
    if (block < begin_ || block >= begin_ + kBytes) return pointer == nullptr;
    if (!active_) return true;
    const size_t bytes = *reinterpret_cast<size_t*>(block - kHeader);
    memset(freed_ + (block - begin_) / kGranule, 1, (bytes - kHeader) / kGranule);
    memset(block, 0xdd, bytes - kHeader);
    return true;
  }
  void CheckUse(const void* pointer) const {
    const char* const at = static_cast<const char*>(pointer);
    if (!active_ || Scheduler::Current() == nullptr) return;
    if (compact_) {
      if (!slabs_.Owns(at) || !slabs_.IsFree(at)) return;
    } else if (at < begin_ || at >= begin_ + used_ || freed_[(at - begin_) / kGranule] == 0) {
      return;
    }
    Scheduler::Current()->Violation("thread '%s' uses memory that was freed",
                                    Scheduler::Current()->running()->name);
  }

 private:
  // What is allocated in the registry's critical sections has one region, whoever is in there; each
  // fiber has one for the rest.
  static size_t Region() {
    const Scheduler* const scheduler = Scheduler::Current();
    if (scheduler == nullptr || scheduler->holder() == scheduler->running()) return 0;
    return RegionOf(*scheduler->running());
  }
  static size_t RegionOf(const Fiber& fiber) {
    return 1 + static_cast<size_t>(fiber.id) % (Slabs::kRegions - 1);
  }

  static constexpr size_t kBytes = size_t{512} << 20;
  static constexpr size_t kGranule = 16;
  static constexpr size_t kHeader = 16;
  char* begin_ = nullptr;
  size_t used_ = 0;
  bool active_ = false;
  bool compact_ = false;
  Slabs slabs_;
  uint8_t freed_[kBytes / kGranule] = {};
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_ARENA_H_
