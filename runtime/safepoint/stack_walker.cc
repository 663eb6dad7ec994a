#include "runtime/safepoint/stack_walker.h"

#include <dlfcn.h>

#include <algorithm>

#include "runtime/safepoint/call_frame_info.h"
#include "runtime/safepoint/dwarf_expression.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend {
namespace {

// glibc documents _dl_find_object as async-signal-safe and lock-free; its declaration cannot say
// so.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wfunction-effects"
bool FindLoadedObject(uintptr_t pc, dl_find_object* object) noexcept [[clang::nonblocking]] {
  return _dl_find_object(reinterpret_cast<void*>(pc), object) == 0;
}
#pragma clang diagnostic pop

template <size_t kSize>
bool BytesAt(uintptr_t address, const uint8_t (&bytes)[kSize]) noexcept {
  for (size_t i = 0; i < kSize; ++i) {
    if (reinterpret_cast<const uint8_t*>(address)[i] != bytes[i]) return false;
  }
  return true;
}

// lld writes no unwind data for procedure linkage tables. Their 16-byte slots are recognised by
// their code; returns how many bytes below the return address the stack pointer is at `pc`, or -1.
//   slot:    jmp *got(%rip); push $index; jmp header
//   header:  push got+8(%rip); jmp *got+16(%rip); nop
// REQUIRES: `pc` was executed, so that its slot is mapped.
int PltStackDepth(uintptr_t pc) noexcept {
  const uintptr_t slot = pc & ~uintptr_t{15};
  const uintptr_t offset = pc & 15;
  if (BytesAt(slot, {0xff, 0x25}) && BytesAt(slot + 6, {0x68}) && BytesAt(slot + 11, {0xe9})) {
    return offset == 0 || offset == 6 ? 0 : offset == 11 ? 8 : -1;
  }
  if (BytesAt(slot, {0xff, 0x35}) && BytesAt(slot + 6, {0xff, 0x25}) &&
      BytesAt(slot + 12, {0x0f, 0x1f, 0x40, 0x00})) {
    return offset == 0 ? 8 : offset == 6 ? 16 : -1;
  }
  return -1;
}

// The row of code in which nothing but `depth` bytes were pushed since the call.
void SetPushedRow(int64_t depth, UnwindRow* row) noexcept {
  *row = UnwindRow();
  row->cfa_register = kDwarfRsp;
  row->cfa_offset = depth + 8;
  row->SetRule(kDwarfReturnAddress, RegisterRule::kAtOffset, -8);
}

FrameRegisters StartRegisters(const RegisterContext& from) noexcept {
  FrameRegisters registers;
  registers.Set(kDwarfReturnAddress, from.rip);
  registers.Set(kDwarfRsp, from.rsp);
  registers.Set(kDwarfRbp, from.rbp);
  registers.Set(kDwarfRbx, from.rbx);
  registers.Set(12, from.r12);
  registers.Set(13, from.r13);
  registers.Set(14, from.r14);
  registers.Set(15, from.r15);
  return registers;
}

// One walk. Invariant: `stack_` is the stack that the present frame lies on, from the frame's red
// zone up; it only shrinks, and changes once at most, from the alternate stack to the other.
class Walker {
 public:
  Walker(const RegisterContext& from, const WalkOptions& options) noexcept
      : options_(options),
        table_(UnwindTable::Get()),
        registers_(StartRegisters(from)),
        stack_(StackBounds{}, 0) {}

  WalkResult Run(WalkVisitor visitor, void* argument) noexcept [[clang::nonblocking]] {
    WalkResult result;
    WalkFrame frame;
    bool outermost = false;
    result.end = ChooseStack() ? WalkEnd::kComplete : WalkEnd::kOutOfBounds;
    while (true) {
      result.last_pc = frame.pc = CodeAddress{registers_.Get(kDwarfReturnAddress)};
      if (result.end != WalkEnd::kComplete) return result;
      frame.depth = result.frames;
      frame.is_return_address = frame.depth != 0 && !after_signal_frame_;

      if (frame.depth == options_.frames_max) return Ended(WalkEnd::kTooDeep, result);
      result.end = FindRow(frame.pc);
      if (result.end == WalkEnd::kComplete) result.end = FindCfa(&frame.cfa);
      if (result.end != WalkEnd::kComplete) return result;
      ++result.frames;
      if (!visitor(frame, argument)) return Ended(WalkEnd::kStopped, result);
      if (IsBase(frame.cfa)) return result;
      result.end = StepOut(frame.cfa, &outermost);
      if (outermost) return result;
      if (result.end == WalkEnd::kComplete && IsBegun()) return result;
    }
  }

 private:
  static WalkResult Ended(WalkEnd end, WalkResult result) noexcept {
    result.end = end;
    return result;
  }

  bool ChooseStack() noexcept {
    const uintptr_t rsp = registers_.Get(kDwarfRsp);
    on_alternate_ = EnterStack(rsp, options_.alternate_stack);
    return on_alternate_ || EnterStack(rsp, options_.stack);
  }

  // Bounds further loads to `stack` from `rsp` on. False: `rsp` is not on it.
  bool EnterStack(uintptr_t rsp, StackBounds stack) noexcept {
    if (rsp < stack.low || rsp > stack.high || stack.low == stack.high) return false;
    const uintptr_t red_zone = rsp - std::min(rsp, kRedZone);
    stack_ = StackMemory({std::max(red_zone, stack.low), stack.high}, options_.displacement);
    return true;
  }

  // A CFA below the frame's own stack pointer is wrong, whatever it happens to equal.
  bool IsBase(uintptr_t cfa) const noexcept {
    return options_.base_cfa != 0 && cfa == options_.base_cfa && cfa > registers_.Get(kDwarfRsp);
  }

  // Whoever makes a stack by hand, as for a fiber, puts a null where its first function returns to.
  // Believed at the very end of a stack only.
  bool IsBegun() const noexcept {
    constexpr uintptr_t kMadeByHand = 256;
    return registers_.Get(kDwarfReturnAddress) == 0 &&
           stack_.high() - registers_.Get(kDwarfRsp) <= kMadeByHand;
  }

  // The first frame, and one that a signal interrupted, are at `pc` itself; a return address may
  // be the first byte behind its function, when the call was the last instruction.
  bool IsExactPc() const noexcept { return first_frame_ || after_signal_frame_; }

  WalkEnd FindRow(CodeAddress pc) noexcept {
    const CodeAddress key{IsExactPc() ? pc.value : pc.value - 1};
    FdeEntry entry;
    switch (table_.Find(key, &entry)) {
      case UnwindTable::Lookup::kStub:
        SetPushedRow(0, &row_);
        signal_frame_ = false;
        return WalkEnd::kComplete;
      case UnwindTable::Lookup::kNoFde:
        return WalkEnd::kUnknownCode;
      case UnwindTable::Lookup::kFde:
        return InterpretEntry(entry.fde, key) == RowResult::kFound ? WalkEnd::kComplete
                                                                   : WalkEnd::kBadUnwindData;
      case UnwindTable::Lookup::kUnknown:
        return FindHostRow(key);
    }
    return WalkEnd::kUnknownCode;
  }

  WalkEnd FindHostRow(CodeAddress key) noexcept {
    const bool cached = key.value >= object_begin_ && key.value < object_end_;
    if (!cached && !FindObject(key.value)) return WalkEnd::kUnknownCode;
    if (object_header_ == nullptr) return WalkEnd::kUnknownCode;
    const uint8_t* const fde = SearchEhFrameHeader(object_header_, key);
    const RowResult found = fde == nullptr ? RowResult::kNotCovered : InterpretEntry(fde, key);
    if (found == RowResult::kFound) return WalkEnd::kComplete;
    if (found == RowResult::kMalformed) return WalkEnd::kBadUnwindData;
    const int depth = IsExactPc() ? PltStackDepth(key.value) : -1;
    if (depth < 0) return WalkEnd::kUnknownCode;
    SetPushedRow(depth, &row_);
    signal_frame_ = false;
    return WalkEnd::kComplete;
  }

  bool FindObject(uintptr_t pc) noexcept {
    dl_find_object object;
    if (!FindLoadedObject(pc, &object)) return false;
    object_begin_ = reinterpret_cast<uintptr_t>(object.dlfo_map_start);
    object_end_ = reinterpret_cast<uintptr_t>(object.dlfo_map_end);
    object_header_ = static_cast<const uint8_t*>(object.dlfo_eh_frame);
    return true;
  }

  RowResult InterpretEntry(const uint8_t* fde, CodeAddress key) noexcept {
    const RowResult result = FindUnwindRow(fde, key, &common_, &row_, &signal_frame_);
    return result == RowResult::kFound && IsUnwinderFrame() ? RowResult::kMalformed : result;
  }

  // libgcc's functions that leave for a landing pad (__builtin_eh_return) first overwrite the
  // registers and the return address saved in their own frame with the landing frame's. From then
  // on their unwind data yields a chain that looks complete and is not the true one. What tells
  // them from other functions is that they save the two registers a landing pad is entered with;
  // `preserve_all` functions save rcx as well.
  bool IsUnwinderFrame() const noexcept {
    constexpr unsigned kRax = 0, kRdx = 1, kRcx = 2;
    return !signal_frame_ && row_.Rule(kRax) == RegisterRule::kAtOffset &&
           row_.Rule(kRdx) == RegisterRule::kAtOffset && row_.Rule(kRcx) != RegisterRule::kAtOffset;
  }

  WalkEnd FindCfa(uintptr_t* cfa) noexcept {
    // The outermost frame may have no CFA worth the name, and nobody needs it.
    const bool outermost = row_.Rule(kDwarfReturnAddress) == RegisterRule::kUndefined;
    *cfa = 0;
    if (row_.cfa_expression != nullptr) {
      const WalkEnd end = Evaluate(row_.cfa_expression, nullptr, cfa);
      return outermost ? WalkEnd::kComplete : end;
    }
    if (!registers_.Knows(row_.cfa_register)) {
      return outermost ? WalkEnd::kComplete : WalkEnd::kBadUnwindData;
    }
    *cfa = registers_.Get(static_cast<unsigned>(row_.cfa_register)) +
           static_cast<uintptr_t>(row_.cfa_offset);
    return WalkEnd::kComplete;
  }

  WalkEnd Evaluate(const uint8_t* block, const uintptr_t* initial, uintptr_t* value) noexcept {
    const ExpressionBlock expression = ReadExpressionBlock(block);
    switch (
        EvaluateExpression(expression.begin, expression.end, registers_, stack_, initial, value)) {
      case ExpressionResult::kOk:
        return WalkEnd::kComplete;
      case ExpressionResult::kOutOfBounds:
        return WalkEnd::kOutOfBounds;
      case ExpressionResult::kMalformed:
        return WalkEnd::kBadUnwindData;
    }
    return WalkEnd::kBadUnwindData;
  }

  // Goes from the present frame to its caller.
  WalkEnd StepOut(uintptr_t cfa, bool* outermost) noexcept {
    *outermost = row_.Rule(kDwarfReturnAddress) == RegisterRule::kUndefined;
    if (*outermost) return WalkEnd::kComplete;
    const uintptr_t rsp = registers_.Get(kDwarfRsp);
    FrameRegisters caller = registers_;
    caller.KeepPreservedOnly();
    caller.Set(kDwarfRsp, cfa);
    // The present value of rip is not the caller's, whatever the rules leave out.
    caller.Forget(kDwarfReturnAddress);
    for (uint32_t left = row_.specified; left != 0; left &= left - 1) {
      const auto number = static_cast<unsigned>(__builtin_ctz(left));
      const WalkEnd end = Recover(number, row_.rules[number], cfa, &caller);
      if (end != WalkEnd::kComplete) return end;
    }
    if (!caller.Knows(kDwarfReturnAddress)) return WalkEnd::kBadUnwindData;
    registers_ = caller;
    first_frame_ = false;
    after_signal_frame_ = signal_frame_;
    return MoveUp(rsp, caller.Get(kDwarfRsp));
  }

  // Finds the caller's value of one register.
  WalkEnd Recover(unsigned number, RegisterRule rule, uintptr_t cfa,
                  FrameRegisters* caller) noexcept {
    const int64_t operand = row_.operands[number];
    const uintptr_t at_cfa = cfa + static_cast<uintptr_t>(operand);
    uintptr_t value = at_cfa;
    switch (rule) {
      case RegisterRule::kUnspecified:
        return WalkEnd::kComplete;
      case RegisterRule::kUndefined:
        caller->Forget(number);
        return WalkEnd::kComplete;
      case RegisterRule::kSame:
        // A return address that stays where it is would repeat this frame for ever.
        if (number == kDwarfReturnAddress) return WalkEnd::kBadUnwindData;
        if (registers_.Knows(number)) caller->Set(number, registers_.Get(number));
        return WalkEnd::kComplete;
      case RegisterRule::kInRegister:
        if (!registers_.Knows(static_cast<uint64_t>(operand))) return WalkEnd::kBadUnwindData;
        value = registers_.Get(static_cast<unsigned>(operand));
        break;
      case RegisterRule::kIsOffset:
        break;
      case RegisterRule::kAtOffset:
        if (!stack_.Load(at_cfa, 8, &value)) return WalkEnd::kOutOfBounds;
        break;
      case RegisterRule::kAtExpression:
      case RegisterRule::kIsExpression: {
        const auto* const block = reinterpret_cast<const uint8_t*>(static_cast<uintptr_t>(operand));
        const WalkEnd end = Evaluate(block, &cfa, &value);
        if (end != WalkEnd::kComplete) return end;
        if (rule == RegisterRule::kAtExpression && !stack_.Load(value, 8, &value)) {
          return WalkEnd::kOutOfBounds;
        }
        break;
      }
    }
    caller->Set(number, value);
    return WalkEnd::kComplete;
  }

  // Checks that the caller's frame lies above the callee's, at least by the return address, on the
  // same stack; or on the thread's ordinary stack, when a signal frame leads off the alternate one.
  WalkEnd MoveUp(uintptr_t rsp, uintptr_t caller_rsp) noexcept {
    const bool above = caller_rsp > rsp && caller_rsp - rsp >= sizeof(uintptr_t);
    if (above && caller_rsp <= stack_.high()) {
      EnterStack(caller_rsp, {stack_.low(), stack_.high()});
      return WalkEnd::kComplete;
    }
    if (on_alternate_ && signal_frame_ && EnterStack(caller_rsp, options_.stack)) {
      on_alternate_ = false;
      return WalkEnd::kComplete;
    }
    return WalkEnd::kOutOfBounds;
  }

  const WalkOptions& options_;
  // Keeps hosted unwind data readable for the length of the walk.
  const UnwindTable::ReadScope table_;

  FrameRegisters registers_;
  StackMemory stack_;
  bool on_alternate_ = false;
  bool first_frame_ = true;
  bool after_signal_frame_ = false;

  // The present frame's rules.
  UnwindRow row_;
  bool signal_frame_ = false;

  // Neighbouring frames are often in one object and of few compilations.
  CommonInformationCache common_;
  uintptr_t object_begin_ = 0;
  uintptr_t object_end_ = 0;
  const uint8_t* object_header_ = nullptr;
};

}  // namespace

WalkResult WalkStack(const RegisterContext& from, const WalkOptions& options, WalkVisitor visitor,
                     void* argument) noexcept {
  Walker walker(from, options);
  return walker.Run(visitor, argument);
}

const char* WalkEndName(WalkEnd end) {
  switch (end) {
    case WalkEnd::kComplete:
      return "the stack was walked to its base";
    case WalkEnd::kStopped:
      return "the walk was stopped by its caller";
    case WalkEnd::kUnknownCode:
      return "a frame lies in code without unwind data";
    case WalkEnd::kBadUnwindData:
      return "a frame's unwind data cannot be interpreted";
    case WalkEnd::kOutOfBounds:
      return "a frame leads out of the thread's stack";
    case WalkEnd::kTooDeep:
      return "the stack has more frames than a walk may visit";
  }
  return "unknown";
}

}  // namespace mend
