// The redirection stub at a patchable function's entry: one 8-byte no-op while the entry is closed,
// a jump through the function's slot while it is open.
//
// The compiler's no-op depends on the CPU it compiles for, so the host checks what is there when it
// links and writes its own. What does not match is not patchable, and keeps running as it is.
#ifndef MEND_JIT_LINK_ENTRY_STUBS_H_
#define MEND_JIT_LINK_ENTRY_STUBS_H_

#include <cstdint>

#include "runtime/base/code_address.h"
#include "runtime/patch/redirection_table.h"  // kClosedEntry

namespace mend::jit {

// Whether a stub can be put at the entry: it is aligned, `size` leaves room for a body, and the
// compiler left an 8-byte no-op there. `bytes` is where the entry's bytes are now.
bool HasEntryStub(CodeAddress entry, uint64_t size, const char* bytes);

// The bytes of an open entry: jmp *slot(%rip); int3; int3.
// REQUIRES: the slot is within +-2 GiB of the entry.
uint64_t OpenEntry(CodeAddress entry, const uintptr_t* slot);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_ENTRY_STUBS_H_
