// TextNames: what hosted code is called, for libc's functions that name addresses and for reports
// of crashes. libc itself knows nothing of text that no library brought.
#ifndef MEND_JIT_GUEST_LIBC_TEXT_NAMES_H_
#define MEND_JIT_GUEST_LIBC_TEXT_NAMES_H_

#include <cstdint>

#include "runtime/safepoint/unwind_table.h"

namespace mend::jit {

// The named hosted function at `address`. False without one. Waits for nothing and allocates
// nothing.
bool FindHostedFunction(uintptr_t address, FdeEntry* function);

// Whether the address is in hosted memory of any kind.
bool IsHostedMemory(uintptr_t address);

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_TEXT_NAMES_H_
