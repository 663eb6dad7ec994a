#include "patchc/codegen/codegen_passes.h"

#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>

#include "patchc/codegen/code_facts.h"
#include "patchc/codegen/derefinable.h"
#include "patchc/codegen/entry_stub.h"
#include "patchc/codegen/leave_out.h"
#include "patchc/codegen/pin_state.h"
#include "patchc/codegen/poll.h"
#include "patchc/codegen/tls_lowering.h"

namespace mend::patchc {

void RegisterCodegenPasses(llvm::PassBuilder& builder, CodeFacts* facts, FunctionHashes* hashes) {
  RecordInlining(builder);
  builder.registerPipelineStartEPCallback(
      [hashes](llvm::ModulePassManager& passes, llvm::OptimizationLevel) {
        passes.addPass(PrunePass(hashes));
        passes.addPass(BeginFactsPass());
        passes.addPass(MakeDerefinablePass());
        passes.addPass(PinStatePass());
      });
  builder.registerOptimizerLastEPCallback([facts, hashes](llvm::ModulePassManager& passes,
                                                          llvm::OptimizationLevel,
                                                          llvm::ThinOrFullLTOPhase) {
    passes.addPass(RestoreLinkagePass());
    passes.addPass(llvm::GlobalDCEPass());
    passes.addPass(EndFactsPass(facts));
    passes.addPass(TlsLoweringPass());
    passes.addPass(llvm::createModuleToFunctionPassAdaptor(PollPass()));
    passes.addPass(EntryStubPass());
    passes.addPass(LeaveOutPass(hashes));
  });
}

}  // namespace mend::patchc
