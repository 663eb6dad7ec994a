#include "jit/guest_libc/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <optional>

namespace mend::jit {
namespace {

// The machine of linux/Documentation/networking/filter.rst, with the instructions that
// seccomp_check_filter admits.
class FilterMachine {
 public:
  explicit FilterMachine(const seccomp_data& data) : data_(data) {}

  // What the filter returns; empty for an instruction that is none, and past the end.
  std::optional<uint32_t> Run(const sock_fprog& filter) {
    // Jumps lead forward only, so each instruction runs once at most.
    for (uint32_t at = 0; at < filter.len; ++at) {
      const sock_filter& instruction = filter.filter[at];
      switch (BPF_CLASS(instruction.code)) {
        case BPF_RET:
          return BPF_RVAL(instruction.code) == BPF_A ? accumulator_ : instruction.k;
        case BPF_JMP:
          at += Distance(instruction);
          break;
        default:
          if (!Step(instruction)) return std::nullopt;
      }
    }
    return std::nullopt;
  }

 private:
  uint32_t Operand(const sock_filter& instruction) const {
    return BPF_SRC(instruction.code) == BPF_X ? index_ : instruction.k;
  }

  uint32_t Distance(const sock_filter& instruction) const {
    const uint32_t operand = Operand(instruction);
    switch (BPF_OP(instruction.code)) {
      case BPF_JEQ:
        return accumulator_ == operand ? instruction.jt : instruction.jf;
      case BPF_JGT:
        return accumulator_ > operand ? instruction.jt : instruction.jf;
      case BPF_JGE:
        return accumulator_ >= operand ? instruction.jt : instruction.jf;
      case BPF_JSET:
        return (accumulator_ & operand) != 0 ? instruction.jt : instruction.jf;
      default:
        return instruction.k;  // BPF_JA
    }
  }

  bool Step(const sock_filter& instruction) {
    switch (BPF_CLASS(instruction.code)) {
      case BPF_LD:
        return Load(instruction, &accumulator_);
      case BPF_LDX:
        return Load(instruction, &index_);
      case BPF_ST:
      case BPF_STX:
        if (instruction.k >= BPF_MEMWORDS) return false;
        memory_[instruction.k] = BPF_CLASS(instruction.code) == BPF_ST ? accumulator_ : index_;
        return true;
      case BPF_ALU:
        return Calculate(BPF_OP(instruction.code), Operand(instruction));
      case BPF_MISC:
        (BPF_MISCOP(instruction.code) == BPF_TAX ? index_ : accumulator_) =
            BPF_MISCOP(instruction.code) == BPF_TAX ? accumulator_ : index_;
        return true;
      default:
        return false;
    }
  }

  bool Load(const sock_filter& instruction, uint32_t* into) const {
    const uint32_t k = instruction.k;
    switch (BPF_MODE(instruction.code)) {
      case BPF_IMM:
        *into = k;
        return true;
      case BPF_LEN:
        *into = sizeof data_;
        return true;
      case BPF_MEM:
        if (k >= BPF_MEMWORDS) return false;
        *into = memory_[k];
        return true;
      case BPF_ABS:
        if (k % sizeof *into != 0 || k > sizeof data_ - sizeof *into) return false;
        std::memcpy(into, reinterpret_cast<const char*>(&data_) + k, sizeof *into);
        return true;
      default:
        return false;
    }
  }

  bool Calculate(uint32_t operation, uint32_t operand) {
    switch (operation) {
      case BPF_ADD:
        accumulator_ += operand;
        return true;
      case BPF_SUB:
        accumulator_ -= operand;
        return true;
      case BPF_MUL:
        accumulator_ *= operand;
        return true;
      case BPF_DIV:
        if (operand == 0) return false;
        accumulator_ /= operand;
        return true;
      case BPF_AND:
        accumulator_ &= operand;
        return true;
      case BPF_OR:
        accumulator_ |= operand;
        return true;
      case BPF_XOR:
        accumulator_ ^= operand;
        return true;
      case BPF_LSH:
        accumulator_ = operand < 32 ? accumulator_ << operand : 0;
        return true;
      case BPF_RSH:
        accumulator_ = operand < 32 ? accumulator_ >> operand : 0;
        return true;
      case BPF_NEG:
        accumulator_ = -accumulator_;
        return true;
      default:
        return false;
    }
  }

  const seccomp_data& data_;
  uint32_t accumulator_ = 0;
  uint32_t index_ = 0;
  uint32_t memory_[BPF_MEMWORDS] = {};
};

}  // namespace

bool FilterAllows(const sock_fprog& filter, int number) noexcept {
  seccomp_data data = {};
  data.nr = number;
  data.arch = AUDIT_ARCH_X86_64;
  const std::optional<uint32_t> result = FilterMachine(data).Run(filter);
  if (!result.has_value()) return false;
  const uint32_t action = *result & SECCOMP_RET_ACTION_FULL;
  return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

}  // namespace mend::jit
