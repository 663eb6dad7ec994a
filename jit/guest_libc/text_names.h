// TextNames: what hosted code is called, for libc's functions that name addresses and for reports
// of crashes. libc itself knows nothing of text that no library brought.
#ifndef MEND_JIT_GUEST_LIBC_TEXT_NAMES_H_
#define MEND_JIT_GUEST_LIBC_TEXT_NAMES_H_

#include <cstdint>

#include "jit/guest_libc/guest_libc.h"

namespace mend::jit {

// False when no hosted function lies at `address`, or when it cannot be told now. Waits for
// nothing and allocates nothing.
bool FindTextName(uintptr_t address, TextName* name);

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_TEXT_NAMES_H_
