#include "patchc/codegen/pin_state.h"

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

namespace mend::patchc {

llvm::PreservedAnalyses PinStatePass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  llvm::SmallVector<llvm::GlobalValue*, 32> pinned;
  for (llvm::GlobalVariable& variable : module.globals()) {
    if (variable.isDeclaration() || variable.isConstant()) continue;
    // Private linkage is the compiler's own, not a variable that somebody wrote.
    if (variable.hasInternalLinkage()) pinned.push_back(&variable);
  }
  if (pinned.empty()) return llvm::PreservedAnalyses::all();
  llvm::appendToCompilerUsed(module, pinned);
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
