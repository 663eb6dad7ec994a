#include "patchc/object/disassembler.h"

#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>

#include <string>

namespace mend::patchc {

Disassembler::Disassembler() {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetDisassembler();
  const llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string error;
  const llvm::Target* const target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (target == nullptr) return;
  registers_.reset(target->createMCRegInfo(triple));
  assembly_.reset(target->createMCAsmInfo(*registers_, triple, options_));
  features_.reset(target->createMCSubtargetInfo(triple, "", ""));
  instructions_.reset(target->createMCInstrInfo());
  analysis_.reset(target->createMCInstrAnalysis(instructions_.get()));
  context_ =
      std::make_unique<llvm::MCContext>(triple, assembly_.get(), registers_.get(), features_.get());
  disassembler_.reset(target->createMCDisassembler(*features_, *context_));
}

uint64_t Disassembler::Decode(llvm::ArrayRef<uint8_t> bytes, llvm::MCInst* instruction) const {
  uint64_t size = 0;
  if (disassembler_ == nullptr ||
      disassembler_->getInstruction(*instruction, size, bytes, 0, llvm::nulls()) !=
          llvm::MCDisassembler::Success) {
    return 0;
  }
  return size;
}

std::optional<uint64_t> Disassembler::BranchTarget(const llvm::MCInst& instruction,
                                                   uint64_t address, uint64_t size) const {
  uint64_t target = 0;
  if (analysis_ == nullptr || !analysis_->evaluateBranch(instruction, address, size, target)) {
    return std::nullopt;
  }
  return target;
}

}  // namespace mend::patchc
