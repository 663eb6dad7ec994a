// LLVM's disassembler for x86-64, with what it needs.
#ifndef MEND_PATCHC_OBJECT_DISASSEMBLER_H_
#define MEND_PATCHC_OBJECT_DISASSEMBLER_H_

#include <llvm/ADT/ArrayRef.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstrAnalysis.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/MCTargetOptions.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace mend::patchc {

// Takes a while to set up: make one when it is needed. One thread at a time.
class Disassembler {
 public:
  Disassembler();

  // The size of the instruction at the beginning of `bytes`; 0: none.
  uint64_t Decode(llvm::ArrayRef<uint8_t> bytes, llvm::MCInst* instruction) const;

  const llvm::MCInstrDesc& Describe(const llvm::MCInst& instruction) const {
    return instructions_->get(instruction.getOpcode());
  }
  llvm::StringRef NameOf(const llvm::MCInst& instruction) const {
    return instructions_->getName(instruction.getOpcode());
  }
  llvm::StringRef NameOfRegister(llvm::MCRegister reg) const { return registers_->getName(reg); }

  // Where a branch of `size` bytes at `address` leads; none for other instructions, and where that
  // is not in its bytes.
  std::optional<uint64_t> BranchTarget(const llvm::MCInst& instruction, uint64_t address,
                                       uint64_t size) const;

 private:
  llvm::MCTargetOptions options_;
  std::unique_ptr<llvm::MCRegisterInfo> registers_;
  std::unique_ptr<llvm::MCAsmInfo> assembly_;
  std::unique_ptr<llvm::MCSubtargetInfo> features_;
  std::unique_ptr<llvm::MCInstrInfo> instructions_;
  std::unique_ptr<llvm::MCInstrAnalysis> analysis_;
  std::unique_ptr<llvm::MCContext> context_;
  std::unique_ptr<llvm::MCDisassembler> disassembler_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_DISASSEMBLER_H_
