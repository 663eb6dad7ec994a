#include "jit/link/library_switches.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

#include "jit/link/imports.h"
#include "runtime/safepoint/stack_switches.h"

namespace mend::jit {
namespace {

// As library_switch_entries.S has them. A library has one or two such functions.
constexpr size_t kEntries = 32;
constexpr size_t kEntrySize = 16;

size_t entry_count = 0;
// Never freed.
const std::string* names[kEntries] = {};

}  // namespace

extern "C" {
[[gnu::visibility("hidden")]] extern const char mend_switch_entries[kEntries * kEntrySize];
// Read by the entries, and written by them; each word before anybody has its entry.
[[gnu::visibility("hidden")]] constinit void* mend_switch_targets[kEntries] = {};
[[gnu::visibility("hidden")]] constinit uint8_t mend_switch_flags[kEntries] = {};
}

namespace {

// Whether the entry is the function's, or that of one of its name whose library has been closed.
bool Serves(size_t index, const std::string& name, const void* function) {
  if (*names[index] != name) return false;
  dl_find_object library;
  return mend_switch_targets[index] == function ||
         _dl_find_object(mend_switch_targets[index], &library) != 0;
}

}  // namespace

void* EntryOfSwitch(const std::string& name, void* function) {
  const auto entries = reinterpret_cast<uintptr_t>(mend_switch_entries);
  if (reinterpret_cast<uintptr_t>(function) - entries < sizeof mend_switch_entries) return function;
  size_t index = 0;
  while (index < entry_count && !Serves(index, name, function)) ++index;
  if (index == kEntries) return function;
  if (index == entry_count) {
    names[index] = new std::string(name);
    AddStackSwitch(&mend_switch_flags[index], name);
    ++entry_count;
  }
  mend_switch_targets[index] = function;
  void* const entry = const_cast<char*>(mend_switch_entries) + index * kEntrySize;
  RedirectOtherImports(name.c_str(), entry);
  return entry;
}

}  // namespace mend::jit
