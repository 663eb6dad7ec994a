// TlsLoweringPass: replaces thread-local variables by offsets from the thread pointer, which the
// host resolves at link time (`__mend_tlsoff.NAME`), and their definitions by initial images
// (`__mend_tls.NAME`), which the host copies for each thread. JITLink knows no thread-local
// relocation that would do.
//
// Runs after the optimiser, hence after coroutines were split: an address is computed anew in
// every part of a coroutine.
#ifndef MEND_PATCHC_CODEGEN_TLS_LOWERING_H_
#define MEND_PATCHC_CODEGEN_TLS_LOWERING_H_

#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class TlsLoweringPass : public llvm::PassInfoMixin<TlsLoweringPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_TLS_LOWERING_H_
