// Call frame information (.eh_frame): finds, for one PC, the rules by which the caller's registers
// are recovered. Interprets the tables in place; nothing is prepared or kept.
//
// Called by the stack walker, in signal handlers too: no allocation, no lock; a record's own length
// bounds every read. Unwind data is trusted to be mapped, not to be well-formed.
// Reference: DWARF 5, section 6.4; the Linux Standard Base's .eh_frame and .eh_frame_hdr.
#ifndef MEND_RUNTIME_SAFEPOINT_CALL_FRAME_INFO_H_
#define MEND_RUNTIME_SAFEPOINT_CALL_FRAME_INFO_H_

#include <cstdint>

#include "runtime/base/code_address.h"
#include "runtime/safepoint/dwarf_expression.h"
#include "runtime/safepoint/unwind_reader.h"

namespace mend {

// Where the caller's value of one register is.
enum class RegisterRule : uint8_t {
  kUnspecified,  // no rule: a preserved register is unchanged, any other is unknown
  kUndefined,    // gone; for the return address: the outermost frame
  kSame,
  kAtOffset,      // in memory at CFA + operand
  kIsOffset,      // CFA + operand itself
  kInRegister,    // in register `operand`
  kAtExpression,  // in memory at the value of the expression
  kIsExpression,  // the value of the expression
};

// The rules in force at one PC.
struct UnwindRow {
  // The CFA is this register plus this offset, or the value of an expression if that is not null.
  const uint8_t* cfa_expression = nullptr;  // length-prefixed block
  uint64_t cfa_register = kDwarfRegisters;
  int64_t cfa_offset = 0;
  // Which registers have a rule other than kUnspecified, one bit each. The arrays below hold
  // something for those only.
  uint32_t specified = 0;
  RegisterRule rules[kDwarfRegisters];
  // An offset, a register number, or the address of a length-prefixed expression block.
  int64_t operands[kDwarfRegisters];

  RegisterRule Rule(unsigned number) const noexcept {
    return (specified >> number & 1) != 0 ? rules[number] : RegisterRule::kUnspecified;
  }
  void SetRule(unsigned number, RegisterRule rule, int64_t operand) noexcept {
    specified |= 1u << number;
    rules[number] = rule;
    operands[number] = operand;
  }
};

// What the entries of one compilation share. `entry` null: nothing parsed yet.
struct CommonInformation {
  const uint8_t* entry = nullptr;
  uint64_t code_alignment = 1;
  int64_t data_alignment = 1;
  uint8_t pointer_encoding = 0;
  bool signal_frame = false;  // augmentation 'S': the frame was made by the kernel
  bool has_augmentation_data = false;
  UnwindRow initial_row;  // after the common instructions
};

// The common entries that one walk met, direct-mapped. About 1 KB.
class CommonInformationCache {
 public:
  // The place for the entry at `entry`: it may hold that one, another one, or nothing yet.
  CommonInformation* PlaceFor(const uint8_t* entry) noexcept {
    return &places_[reinterpret_cast<uintptr_t>(entry) / 8 % kPlaces];
  }

 private:
  static constexpr size_t kPlaces = 4;
  CommonInformation places_[kPlaces];
};

enum class RowResult : uint8_t { kFound, kNotCovered, kMalformed };

// Finds the row for `pc` in the entry at `fde`, and whether the frame was made by the kernel.
// Keep `cache` across the calls of one walk, no longer.
RowResult FindUnwindRow(const uint8_t* fde, CodeAddress pc, CommonInformationCache* cache,
                        UnwindRow* row, bool* signal_frame) noexcept [[clang::nonblocking]];

// The range of PCs that the entry at `fde` covers. False: malformed.
bool ReadFdeRange(const uint8_t* fde, CodeRange* range) noexcept [[clang::nonblocking]];

// Finds the entry for `pc` through the sorted table of an .eh_frame_hdr at `header`. Null: none, or
// a header without a table that can be searched.
const uint8_t* SearchEhFrameHeader(const uint8_t* header, CodeAddress pc) noexcept
    [[clang::nonblocking]];

// The bounds of a length-prefixed expression block.
struct ExpressionBlock {
  const uint8_t* begin;
  const uint8_t* end;
};
ExpressionBlock ReadExpressionBlock(const uint8_t* block) noexcept [[clang::nonblocking]];

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_CALL_FRAME_INFO_H_
