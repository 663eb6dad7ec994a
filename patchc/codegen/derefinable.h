// MakeDerefinablePass and RestoreLinkagePass: while the optimiser runs, every function looks as if
// another definition of it might win at link time (weak_odr). Inlining stays, but no caller
// absorbs what was inferred from a body (memory effects, constant results, dead arguments): such
// facts would become false when the body is replaced.
//
// Templates and inline functions (linkonce_odr, available_externally) are so by nature. The
// original linkage travels in a function attribute that names its function, so that a copy that
// the optimiser made of a function is not taken for the function.
#ifndef MEND_PATCHC_CODEGEN_DEREFINABLE_H_
#define MEND_PATCHC_CODEGEN_DEREFINABLE_H_

#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class MakeDerefinablePass : public llvm::PassInfoMixin<MakeDerefinablePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

class RestoreLinkagePass : public llvm::PassInfoMixin<RestoreLinkagePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_DEREFINABLE_H_
