// PinStatePass: mutable variables with internal linkage keep their existence, type and place, since
// patches refer to them; the optimiser would fold, shrink or split a quarter of them.
#ifndef MEND_PATCHC_CODEGEN_PIN_STATE_H_
#define MEND_PATCHC_CODEGEN_PIN_STATE_H_

#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class PinStatePass : public llvm::PassInfoMixin<PinStatePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_PIN_STATE_H_
