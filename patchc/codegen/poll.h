// PollPass: safepoint polls on the back-edges of loops that might run long without one: loops that
// make no call and whose number of iterations is not known on entry. A poll is an accelerator; a
// thread that does not poll is reached by a signal.
//
// Runs after the vectoriser and the unroller: earlier polls would prevent both (x4 to x65).
// Polls elsewhere (entries, all loops) cost 4 to 6 %, here nothing that can be measured.
#ifndef MEND_PATCHC_CODEGEN_POLL_H_
#define MEND_PATCHC_CODEGEN_POLL_H_

#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class PollPass : public llvm::PassInfoMixin<PollPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_POLL_H_
