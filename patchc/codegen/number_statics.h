// NumberStaticsPass: a C function's statics of one name are told apart by their order in it, as
// those of a C++ function are: `f.x`, `f.x.1`, `f.x.2`. Clang leaves that to LLVM, which counts up
// one number for all names of the unit, so that a string literal more would give them others.
#ifndef MEND_PATCHC_CODEGEN_NUMBER_STATICS_H_
#define MEND_PATCHC_CODEGEN_NUMBER_STATICS_H_

#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class NumberStaticsPass : public llvm::PassInfoMixin<NumberStaticsPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_NUMBER_STATICS_H_
