#include "patchc/codegen/codegen_passes.h"

#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>

#include "patchc/codegen/derefinable.h"
#include "patchc/codegen/entry_stub.h"
#include "patchc/codegen/leave_out.h"
#include "patchc/codegen/pin_state.h"
#include "patchc/codegen/poll.h"
#include "patchc/codegen/tls_lowering.h"

namespace mend::patchc {

void RegisterCodegenPasses(llvm::PassBuilder& builder, FunctionHashes* hashes) {
  builder.registerPipelineStartEPCallback(
      [](llvm::ModulePassManager& passes, llvm::OptimizationLevel) {
        passes.addPass(MakeDerefinablePass());
        passes.addPass(PinStatePass());
      });
  builder.registerOptimizerLastEPCallback(
      [hashes](llvm::ModulePassManager& passes, llvm::OptimizationLevel, llvm::ThinOrFullLTOPhase) {
        passes.addPass(RestoreLinkagePass());
        passes.addPass(llvm::GlobalDCEPass());
        passes.addPass(TlsLoweringPass());
        passes.addPass(llvm::createModuleToFunctionPassAdaptor(PollPass()));
        passes.addPass(EntryStubPass());
        passes.addPass(LeaveOutPass(hashes));
      });
}

}  // namespace mend::patchc
