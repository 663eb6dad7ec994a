#include "jit/guest_libc/next_function.h"

#include <dlfcn.h>

#include "runtime/base/check.h"

extern "C" {
extern mend::jit::NextEntry __start_mend_next[] __attribute__((visibility("hidden")));
extern mend::jit::NextEntry __stop_mend_next[] __attribute__((visibility("hidden")));
}

namespace mend::jit {
namespace {

void* Find(const NextEntry& entry) {
  if (entry.version != nullptr) {
    if (void* found = dlvsym(RTLD_NEXT, entry.name, entry.version)) return found;
  }
  return dlsym(RTLD_NEXT, entry.name);
}

// Before the constructors of everything that may start threads or install handlers.
[[gnu::constructor(101)]] void ResolveAll() {
  for (NextEntry* entry = __start_mend_next; entry != __stop_mend_next; ++entry) {
    entry->address.store(Find(*entry), std::memory_order_relaxed);
  }
}

}  // namespace

void* NextEntry::Resolve() {
  void* found = Find(*this);
  MEND_CHECK(found != nullptr, "the program calls a libc function that no library defines");
  address.store(found, std::memory_order_relaxed);
  return found;
}

}  // namespace mend::jit
