// EntryStubPass: every function that can be patched begins, 16-aligned, with an 8-byte no-op that
// the host may turn into a jump; and no function refers to its own entry in a way that the
// assembler would resolve by itself.
//
// Not patchable, hence without a stub: naked functions, the parts of coroutines (their address is
// their body's), and functions that the source puts into a section by name, where functions
// share a block and the assembler resolves calls between them.
#ifndef MEND_PATCHC_CODEGEN_ENTRY_STUB_H_
#define MEND_PATCHC_CODEGEN_ENTRY_STUB_H_

#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class EntryStubPass : public llvm::PassInfoMixin<EntryStubPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_ENTRY_STUB_H_
