// The slow path of a safepoint poll, as generated code sees it.
//
// A poll is `cmpb $0,%fs:OFF; jne cold`; the cold part does `call __mend_poll_slow`, which returns
// with every register and flag as it was, vector and floating-point state included: the compiler's
// code around a poll keeps values anywhere. (A plain C function could not promise that: what
// `preserve_all` saves depends on the callee's own target features.)
// The call itself pushes a return address: a function with polls must not use the red zone.
#ifndef MEND_RUNTIME_SAFEPOINT_SAFEPOINT_POLL_H_
#define MEND_RUNTIME_SAFEPOINT_SAFEPOINT_POLL_H_

#include "runtime/safepoint/register_context.h"

extern "C" {

// safepoint_poll_stub.S. Generated code calls it; C++ takes its address only.
// Needs about 3 KB of stack. REQUIRES: mend::InitializePollStub has run.
void __mend_poll_slow();

// What the stub calls, with a clean floating-point environment: `context` holds the registers of
// the polling function, its rip being the address that the poll returns to. It must preserve errno.
void MendPollSlowPath(const mend::RegisterContext* context);

}  // extern "C"

namespace mend {

// Finds out which register state this CPU and kernel have. Call once, before hosted code runs.
void InitializePollStub();

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_SAFEPOINT_POLL_H_
