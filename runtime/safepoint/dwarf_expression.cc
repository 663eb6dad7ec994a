#include "runtime/safepoint/dwarf_expression.h"

namespace mend {
namespace {

// What an x86-64 load may look like to the sanitizers: the memory is another frame's, with red
// zones and accesses of its own; the walker reads it on purpose.
template <typename Integer>
__attribute__((no_sanitize("address", "thread", "undefined"))) Integer
LoadUnchecked(uintptr_t address) noexcept {
  struct __attribute__((packed, may_alias)) Unaligned {
    Integer value;
  };
  return reinterpret_cast<const volatile Unaligned*>(address)->value;
}

constexpr unsigned kDepthMax = 32;
// Loops are legal in DWARF; nobody emits one in unwind data.
constexpr unsigned kStepsMax = 256;

// Operation codes (DW_OP_*).
enum Operation : uint8_t {
  kAddr = 0x03,
  kDeref = 0x06,
  kConst1u = 0x08,
  kConst1s,
  kConst2u,
  kConst2s,
  kConst4u,
  kConst4s,
  kConst8u,
  kConst8s,
  kConstu,
  kConsts,
  kDup,
  kDrop,
  kOver,
  kPick,
  kSwap,
  kRot,
  kAbs = 0x19,
  kAnd,
  kDiv,
  kMinus,
  kMod,
  kMul,
  kNeg,
  kNot,
  kOr,
  kPlus,
  kPlusUconst,
  kShl,
  kShr,
  kShra,
  kXor,
  kBra,
  kEq,
  kGe,
  kGt,
  kLe,
  kLt,
  kNe,
  kSkip,
  kLit0 = 0x30,
  kBreg0 = 0x70,
  kBregx = 0x92,
  kDerefSize = 0x94,
  kNop = 0x96,
};

class Machine {
 public:
  Machine(const uint8_t* begin, const uint8_t* end, const FrameRegisters& registers,
          const StackMemory& memory) noexcept
      : begin_(begin), reader_(begin, end), registers_(registers), memory_(memory) {}

  void Push(uintptr_t value) noexcept {
    if (depth_ == kDepthMax) return Malformed();
    stack_[depth_++] = value;
  }

  ExpressionResult Run(uintptr_t* result) noexcept {
    for (unsigned steps = 0; !reader_.done(); ++steps) {
      if (steps == kStepsMax) Malformed();
      Execute(reader_.Read<uint8_t>());
      if (reader_.failed()) Malformed();
      if (result_ != ExpressionResult::kOk) return result_;
    }
    *result = Pop();
    return result_;
  }

 private:
  void Malformed() noexcept {
    if (result_ == ExpressionResult::kOk) result_ = ExpressionResult::kMalformed;
  }

  uintptr_t Pop() noexcept {
    if (depth_ == 0) {
      Malformed();
      return 0;
    }
    return stack_[--depth_];
  }

  // The value `index` below the top, without removing it.
  uintptr_t Peek(unsigned index) noexcept {
    if (index >= depth_) {
      Malformed();
      return 0;
    }
    return stack_[depth_ - 1 - index];
  }

  void PushRegister(uint64_t number, int64_t offset) noexcept {
    if (!registers_.Knows(number)) return Malformed();
    Push(registers_.Get(static_cast<unsigned>(number)) + static_cast<uintptr_t>(offset));
  }

  void Dereference(unsigned size) noexcept {
    uintptr_t value = 0;
    if (size != 1 && size != 2 && size != 4 && size != 8) return Malformed();
    if (!memory_.Load(Pop(), size, &value)) {
      if (result_ == ExpressionResult::kOk) result_ = ExpressionResult::kOutOfBounds;
      return;
    }
    Push(value);
  }

  void Execute(uint8_t op) noexcept {
    if (op >= kLit0 && op < kLit0 + 32) return Push(op - kLit0);
    if (op >= kBreg0 && op < kBreg0 + 32) return PushRegister(op - kBreg0, reader_.ReadSleb());
    if (op >= kConst1u && op <= kConsts) return PushConstant(op);
    if (op >= kDup && op <= kRot) return Shuffle(op);
    switch (op) {
      case kNop:
        return;
      case kAddr:
        return Push(reader_.Read<uint64_t>());
      case kDeref:
        return Dereference(8);
      case kDerefSize:
        return Dereference(reader_.Read<uint8_t>());
      case kBregx: {
        const uint64_t number = reader_.ReadUleb();
        return PushRegister(number, reader_.ReadSleb());
      }
      case kSkip:
        return reader_.Jump(reader_.Read<int16_t>(), begin_);
      case kBra: {
        const int16_t distance = reader_.Read<int16_t>();
        if (Pop() != 0) reader_.Jump(distance, begin_);
        return;
      }
      case kPlusUconst:
        return Push(Pop() + reader_.ReadUleb());
      case kAbs: {
        const uintptr_t value = Pop();
        return Push(static_cast<intptr_t>(value) < 0 ? 0 - value : value);
      }
      case kNeg:
        return Push(0 - Pop());
      case kNot:
        return Push(~Pop());
      default:
        return ExecuteBinary(op);
    }
  }

  void PushConstant(uint8_t op) noexcept {
    switch (op) {
      case kConst1u:
        return Push(reader_.Read<uint8_t>());
      case kConst1s:
        return Push(static_cast<uintptr_t>(intptr_t{reader_.Read<int8_t>()}));
      case kConst2u:
        return Push(reader_.Read<uint16_t>());
      case kConst2s:
        return Push(static_cast<uintptr_t>(intptr_t{reader_.Read<int16_t>()}));
      case kConst4u:
        return Push(reader_.Read<uint32_t>());
      case kConst4s:
        return Push(static_cast<uintptr_t>(intptr_t{reader_.Read<int32_t>()}));
      case kConst8u:
      case kConst8s:
        return Push(reader_.Read<uint64_t>());
      case kConstu:
        return Push(reader_.ReadUleb());
      default:
        return Push(static_cast<uintptr_t>(reader_.ReadSleb()));
    }
  }

  void Shuffle(uint8_t op) noexcept {
    switch (op) {
      case kDup:
        return Push(Peek(0));
      case kDrop:
        return static_cast<void>(Pop());
      case kOver:
        return Push(Peek(1));
      case kPick:
        return Push(Peek(reader_.Read<uint8_t>()));
      default:
        break;
    }
    const uintptr_t first = Pop();
    const uintptr_t second = Pop();
    if (op == kSwap) {
      Push(first);
      Push(second);
      return;
    }
    const uintptr_t third = Pop();  // kRot
    Push(first);
    Push(third);
    Push(second);
  }

  void ExecuteBinary(uint8_t op) noexcept {
    const uintptr_t right = Pop();
    const uintptr_t left = Pop();
    const auto signed_right = static_cast<intptr_t>(right);
    const auto signed_left = static_cast<intptr_t>(left);
    switch (op) {
      case kAnd:
        return Push(left & right);
      case kOr:
        return Push(left | right);
      case kXor:
        return Push(left ^ right);
      case kPlus:
        return Push(left + right);
      case kMinus:
        return Push(left - right);
      case kMul:
        return Push(left * right);
      case kDiv:
        if (right == 0 || signed_right == -1) return Malformed();
        return Push(static_cast<uintptr_t>(signed_left / signed_right));
      case kMod:
        if (right == 0) return Malformed();
        return Push(left % right);
      case kShl:
        return Push(right < 64 ? left << right : 0);
      case kShr:
        return Push(right < 64 ? left >> right : 0);
      case kShra:
        return Push(static_cast<uintptr_t>(signed_left >> (right < 64 ? right : 63)));
      case kEq:
        return Push(left == right);
      case kNe:
        return Push(left != right);
      case kGe:
        return Push(signed_left >= signed_right);
      case kGt:
        return Push(signed_left > signed_right);
      case kLe:
        return Push(signed_left <= signed_right);
      case kLt:
        return Push(signed_left < signed_right);
      default:
        return Malformed();
    }
  }

  const uint8_t* const begin_;
  UnwindReader reader_;
  const FrameRegisters& registers_;
  const StackMemory& memory_;
  uintptr_t stack_[kDepthMax];
  unsigned depth_ = 0;
  ExpressionResult result_ = ExpressionResult::kOk;
};

}  // namespace

bool StackMemory::Load(uintptr_t address, unsigned size, uintptr_t* value) const noexcept
    [[clang::nonblocking]] {
  if (address < bounds_.low || address >= bounds_.high || bounds_.high - address < size) {
    return false;
  }
  address += displacement_;
  switch (size) {
    case 1:
      *value = LoadUnchecked<uint8_t>(address);
      break;
    case 2:
      *value = LoadUnchecked<uint16_t>(address);
      break;
    case 4:
      *value = LoadUnchecked<uint32_t>(address);
      break;
    default:
      *value = LoadUnchecked<uint64_t>(address);
      break;
  }
  return true;
}

ExpressionResult EvaluateExpression(const uint8_t* begin, const uint8_t* end,
                                    const FrameRegisters& registers, const StackMemory& memory,
                                    const uintptr_t* initial, uintptr_t* result) noexcept
    [[clang::nonblocking]] {
  Machine machine(begin, end, registers, memory);
  if (initial != nullptr) machine.Push(*initial);
  return machine.Run(result);
}

}  // namespace mend
