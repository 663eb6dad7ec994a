// The stack walker: lists every function that a thread can return into, or says that it cannot.
//
// It works from unwind data alone (DWARF CFI): hosted text through UnwindTable, host libraries
// through _dl_find_object and their .eh_frame_hdr, stubs and trampolines by the rule CFA = rsp + 8.
// It allocates nothing, takes no lock, and bounds every load to the stack it was told of, so that
// it may run in a signal handler at any instruction, and on the stack of another thread that cannot
// run meanwhile.
//
// What it promises: when a walk says kComplete, every return address was reported. In doubt it
// says why not; a caller takes anything but kComplete as "not now" (docs/consistency_model.md).
#ifndef MEND_RUNTIME_SAFEPOINT_STACK_WALKER_H_
#define MEND_RUNTIME_SAFEPOINT_STACK_WALKER_H_

#include <cstddef>
#include <cstdint>

#include "runtime/base/code_address.h"
#include "runtime/safepoint/register_context.h"

namespace mend {

// Bytes below the stack pointer that a function may use (System V ABI): leaf functions keep saved
// registers and data there, and an epilogue has just popped registers from there.
inline constexpr uintptr_t kRedZone = 128;

struct StackBounds {
  uintptr_t low = 0;   // lowest mapped byte
  uintptr_t high = 0;  // one past the highest byte

  bool Contains(uintptr_t address) const noexcept [[clang::nonblocking]] {
    return low <= address && address < high;
  }
};

enum class WalkEnd : uint8_t {
  kComplete,       // reached the outermost frame
  kStopped,        // the visitor asked to stop
  kUnknownCode,    // a PC that no unwind data covers
  kBadUnwindData,  // unwind data that cannot be interpreted, or lies: a frame of the C++ unwinder
  kOutOfBounds,    // a load or a CFA outside the stack
  kTooDeep,        // more frames than the limit
};

// A short sentence for logs and `mend threads`.
const char* WalkEndName(WalkEnd end);

struct WalkFrame {
  CodeAddress pc;                  // first frame: the PC itself; others: the return address
  uintptr_t cfa = 0;               // the frame's canonical frame address
  size_t depth = 0;                // 0 = innermost
  bool is_return_address = false;  // look up pc - 1, not pc
};

// Called for each frame, innermost first. Returns false to stop the walk.
using WalkVisitor = bool (*)(const WalkFrame& frame, void* argument) noexcept
    [[clang::nonblocking]];

struct WalkOptions {
  StackBounds stack;
  // The thread's signal stack, if it has one: frames may lie there until a signal frame leads off
  // it.
  StackBounds alternate_stack;
  // Where the stack's bytes are read, less where they belong: not zero for a copy.
  uintptr_t displacement = 0;
  // The walk is complete when a frame's CFA equals this (the thread's recorded base), or when the
  // unwind data says that a frame is the outermost one (return address undefined, as in clone and
  // _start), or a return address at the end of the stack is null.
  uintptr_t base_cfa = 0;
  size_t frames_max = 100000;
};

struct WalkResult {
  WalkEnd end = WalkEnd::kUnknownCode;
  CodeAddress last_pc;  // where the walk ended
  size_t frames = 0;
};

WalkResult WalkStack(const RegisterContext& from, const WalkOptions& options, WalkVisitor visitor,
                     void* argument) noexcept [[clang::nonblocking]];

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_STACK_WALKER_H_
