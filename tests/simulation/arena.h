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

#include "tests/simulation/scheduler.h"

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
  }
  void End() { active_ = false; }
  bool active() const { return active_; }

  void* Allocate(size_t size) {
    const size_t bytes = (size + kHeader + kGranule - 1) / kGranule * kGranule;
    if (bytes > kBytes - used_) abort();
    char* const block = begin_ + used_;
    *reinterpret_cast<size_t*>(block) = bytes;
    used_ += bytes;
    return block + kHeader;
  }
  // False when the block is none of the arena's.
  bool Free(void* pointer) {
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
    if (at < begin_ || at >= begin_ + used_ || !active_) return;
    if (freed_[(at - begin_) / kGranule] == 0 || Scheduler::Current() == nullptr) return;
    Scheduler::Current()->Violation("thread '%s' uses memory that was freed",
                                    Scheduler::Current()->running()->name);
  }

 private:
  static constexpr size_t kBytes = size_t{512} << 20;
  static constexpr size_t kGranule = 16;
  static constexpr size_t kHeader = 16;
  char* begin_ = nullptr;
  size_t used_ = 0;
  bool active_ = false;
  uint8_t freed_[kBytes / kGranule] = {};
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_ARENA_H_
