// DWARF expressions as unwind data uses them: the CFA of procedure linkage tables, the registers
// of a signal frame. Also the two things that an expression works on: registers of which some are
// unknown, and stack memory with bounds.
//
// Called by the stack walker only. Async-signal-safe: no allocation, no lock, bounded time.
#ifndef MEND_RUNTIME_SAFEPOINT_DWARF_EXPRESSION_H_
#define MEND_RUNTIME_SAFEPOINT_DWARF_EXPRESSION_H_

#include <cstdint>

#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/unwind_reader.h"

namespace mend {

// DWARF's numbers of the general registers.
inline constexpr unsigned kDwarfRbx = 3;
inline constexpr unsigned kDwarfRbp = 6;
inline constexpr unsigned kDwarfRsp = 7;
inline constexpr unsigned kDwarfReturnAddress = 16;
inline constexpr unsigned kDwarfRegisters = 17;

// The registers of one frame. A walk starts from the preserved ones and learns others from signal
// frames; using an unknown one fails.
class FrameRegisters {
 public:
  bool Knows(uint64_t number) const noexcept {
    return number < kDwarfRegisters && (known_ >> number & 1) != 0;
  }
  uintptr_t Get(unsigned number) const noexcept { return values_[number]; }
  void Set(unsigned number, uintptr_t value) noexcept {
    values_[number] = value;
    known_ |= 1u << number;
  }
  void Forget(unsigned number) noexcept { known_ &= ~(1u << number); }
  // What a function may not change for its caller: rbx, rbp, r12-r15.
  void KeepPreservedOnly() noexcept { known_ &= kPreserved; }

 private:
  static constexpr uint32_t kPreserved = 1u << kDwarfRbx | 1u << kDwarfRbp | 0xfu << 12;

  uintptr_t values_[kDwarfRegisters] = {};
  uint32_t known_ = 0;
};

// The part of a stack that may be read: from the innermost frame's red zone up to its end.
class StackMemory {
 public:
  // The byte at an address is read `displacement` further on, modulo the address space.
  StackMemory(StackBounds bounds, uintptr_t displacement) noexcept
      : bounds_(bounds), displacement_(displacement) {}

  uintptr_t low() const noexcept { return bounds_.low; }
  uintptr_t high() const noexcept { return bounds_.high; }
  // Reads `size` (1, 2, 4 or 8) bytes, zero-extended. False: outside of the bounds.
  bool Load(uintptr_t address, unsigned size, uintptr_t* value) const noexcept
      [[clang::nonblocking]];

 private:
  StackBounds bounds_;
  uintptr_t displacement_;
};

enum class ExpressionResult : uint8_t { kOk, kMalformed, kOutOfBounds };

// Evaluates the expression in [begin, end). `initial` is pushed first if not null (register rules
// start with the CFA on the stack). The result is the top of the stack.
ExpressionResult EvaluateExpression(const uint8_t* begin, const uint8_t* end,
                                    const FrameRegisters& registers, const StackMemory& memory,
                                    const uintptr_t* initial, uintptr_t* result) noexcept
    [[clang::nonblocking]];

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_DWARF_EXPRESSION_H_
