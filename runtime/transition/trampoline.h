// The transition trampoline: what a slot points to while a transition runs. It compares the
// thread's epoch with the transition's, and jumps to the old or to the new body.
//
//    0  f3 0f 1e fa                    endbr64
//    4  64 80 3c 25 OFF32 00           cmpb  $0, %fs:POLL
//   13  75 17                          jne   38
//   15  64 81 3c 25 OFF32 EPOCH        cmpl  $EPOCH, %fs:OFF
//   27  0f 83 rel32                    jae   new
//   33  e9 rel32                       jmp   old
//   38  ff 15 disp32                   call  *poll_slow_path(%rip)
//   44  eb e1                          jmp   15
//
// It touches no register, only flags, which are dead at a function's entry. So a thread that was
// interrupted inside it may start it again from the beginning.
//
// It polls first: at the entry of a function that is replaced or held a thread's stack may be
// clean, although it is hardly ever when the function's caller does little else than call it. Once:
// the slow path may ask for another poll, which is for the next entry. Nothing is decided before.
#ifndef MEND_RUNTIME_TRANSITION_TRAMPOLINE_H_
#define MEND_RUNTIME_TRANSITION_TRAMPOLINE_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"
#include "runtime/safepoint/handshake.h"

namespace mend {

using TrampolineBytes = std::array<uint8_t, kTrampolineSize>;

struct TrampolineTargets {
  CodeAddress old_body;
  CodeAddress new_body;
  CodeAddress poll_slow_path;  // where the address of __mend_poll_slow lies
};

// The bytes of a trampoline that will stand at `at`, filled up with int3. OUT_OF_RANGE when a
// target is more than 2 GiB away.
absl::StatusOr<TrampolineBytes> EncodeTrampoline(CodeAddress at, const TrampolineTargets& targets,
                                                 uint32_t epoch);

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_TRAMPOLINE_H_
