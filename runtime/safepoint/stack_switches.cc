#include "runtime/safepoint/stack_switches.h"

#include <atomic>
#include <utility>

namespace mend {
namespace {

// Never freed: a program has a handful of them, and a forked child may have to go on reading.
struct Switch {
  std::atomic<const uint8_t*> flag;  // null: forgotten
  const std::string function;
  Switch* next;
};

constinit std::atomic<Switch*> first{nullptr};
constinit std::atomic<const char*> seen{nullptr};

bool IsSet(const uint8_t* flag) {
  return flag != nullptr && __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

}  // namespace

void AddStackSwitch(const uint8_t* flag, std::string function) {
  auto* const added = new Switch{.flag = flag, .function = std::move(function), .next = nullptr};
  added->next = first.load(std::memory_order_relaxed);
  // ORDER[T25]: the entry before it is listed; pairs with FindStackSwitch.
  while (!first.compare_exchange_weak(added->next, added, std::memory_order_release,
                                      std::memory_order_relaxed)) {
  }
}

void ForgetStackSwitches(uintptr_t begin, size_t size) {
  // ORDER[T25]: pairs with AddStackSwitch.
  for (Switch* at = first.load(std::memory_order_acquire); at != nullptr; at = at->next) {
    const uint8_t* const flag = at->flag.load(std::memory_order_relaxed);
    if (reinterpret_cast<uintptr_t>(flag) - begin >= size) continue;
    if (IsSet(flag)) seen.store(at->function.c_str(), std::memory_order_relaxed);
    at->flag.store(nullptr, std::memory_order_relaxed);
  }
}

const char* FindStackSwitch() {
  if (const char* const function = seen.load(std::memory_order_relaxed)) return function;
  // ORDER[T25]: the list before its entries; pairs with AddStackSwitch.
  for (const Switch* at = first.load(std::memory_order_acquire); at != nullptr; at = at->next) {
    if (!IsSet(at->flag.load(std::memory_order_relaxed))) continue;
    seen.store(at->function.c_str(), std::memory_order_relaxed);
    return at->function.c_str();
  }
  return nullptr;
}

}  // namespace mend
