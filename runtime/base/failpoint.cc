#include "runtime/base/failpoint.h"

#include <atomic>
#include <cstddef>
#include <cstring>
#include <limits>

namespace mend::failpoint {
namespace {

struct Armed {
  std::atomic<bool> active{false};
  char name[64] = {};
  std::atomic<int64_t> skip{0};
  std::atomic<int64_t> times{0};
};

constinit Armed armed[kArmedMax];
constinit std::atomic<int> armed_count{0};

bool SameName(const char* a, const char* b) noexcept [[clang::nonblocking]] {
  size_t at = 0;
  while (a[at] != '\0' && a[at] == b[at]) ++at;
  return a[at] == b[at];
}

}  // namespace

bool Arm(std::string_view name, int64_t skip, int64_t times) {
  if (!IsKnown(name) || name.size() >= sizeof Armed::name) return false;
  for (Armed& slot : armed) {
    if (slot.active.load(std::memory_order_relaxed)) continue;
    std::memcpy(slot.name, name.data(), name.size());
    slot.name[name.size()] = '\0';
    slot.skip.store(skip, std::memory_order_relaxed);
    slot.times.store(times < 0 ? std::numeric_limits<int64_t>::max() : times,
                     std::memory_order_relaxed);
    // ORDER[T13]: the name before `active`; pairs with Hit.
    slot.active.store(true, std::memory_order_release);
    armed_count.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  return false;
}

void DisarmAll() {
  for (Armed& slot : armed) slot.active.store(false, std::memory_order_relaxed);
  armed_count.store(0, std::memory_order_relaxed);
}

bool Hit(const char* name) noexcept [[clang::nonblocking]] {
  if (armed_count.load(std::memory_order_relaxed) == 0) return false;
  for (Armed& slot : armed) {
    // ORDER[T13]: `active` before the name; pairs with Arm.
    if (!slot.active.load(std::memory_order_acquire) || !SameName(slot.name, name)) continue;
    if (slot.skip.fetch_sub(1, std::memory_order_relaxed) > 0) continue;
    if (slot.times.fetch_sub(1, std::memory_order_relaxed) > 0) return true;
  }
  return false;
}

}  // namespace mend::failpoint
