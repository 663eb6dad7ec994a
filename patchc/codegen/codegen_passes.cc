#include "patchc/codegen/codegen_passes.h"

#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>

#include "patchc/codegen/code_facts.h"
#include "patchc/codegen/derefinable.h"
#include "patchc/codegen/entry_stub.h"
#include "patchc/codegen/leave_out.h"
#include "patchc/codegen/number_statics.h"
#include "patchc/codegen/pin_state.h"
#include "patchc/codegen/poll.h"
#include "patchc/codegen/stack_switch.h"
#include "patchc/codegen/tls_lowering.h"

namespace mend::patchc {
namespace {

enum class Part { kPolls, kEntryStubs, kDerefinable };

// `-mllvm -mend-without=PART`: for benchmarks, which tell what each part of being patchable costs
// by leaving it out. Code compiled so hosts as ever; functions without a stub cannot be patched.
// NOLINTNEXTLINE(cert-err58-cpp): registers the option, as all of LLVM's are.
llvm::cl::bits<Part> left_out("mend-without", llvm::cl::Hidden, llvm::cl::CommaSeparated,
                              llvm::cl::desc("parts of being patchable to leave out"),
                              llvm::cl::values(clEnumValN(Part::kPolls, "polls", ""),
                                               clEnumValN(Part::kEntryStubs, "entry-stubs", ""),
                                               clEnumValN(Part::kDerefinable, "derefinable", "")));

}  // namespace

void RegisterCodegenPasses(llvm::PassBuilder& builder, const LoopOptions* loops,
                           const CodegenResults& results) {
  RecordInlining(builder);
  // A switch that returns literals would have a table of distances to them, which nobody could fill
  // with those that the program has and may have kept.
  if (llvm::PassInstrumentationCallbacks* const passes =
          builder.getPassInstrumentationCallbacks()) {
    passes->registerShouldRunOptionalPassCallback([](llvm::StringRef pass, const llvm::Any&) {
      return pass != "RelLookupTableConverterPass";
    });
  }
  builder.registerPipelineStartEPCallback(
      [loops, hashes = results.hashes, notes = results.notes](llvm::ModulePassManager& passes,
                                                              llvm::OptimizationLevel) {
        passes.addPass(NumberStaticsPass());
        passes.addPass(LoopBodiesPass(loops, notes));
        passes.addPass(PrunePass(hashes));
        passes.addPass(BeginFactsPass());
        if (!left_out.isSet(Part::kDerefinable)) passes.addPass(MakeDerefinablePass());
        passes.addPass(PinStatePass());
      });
  builder.registerOptimizerLastEPCallback(
      [facts = results.facts, hashes = results.hashes](
          llvm::ModulePassManager& passes, llvm::OptimizationLevel, llvm::ThinOrFullLTOPhase) {
        passes.addPass(RestoreLinkagePass());
        passes.addPass(llvm::GlobalDCEPass());
        passes.addPass(EndFactsPass(facts));
        passes.addPass(TlsLoweringPass());
        passes.addPass(StackSwitchPass());
        if (!left_out.isSet(Part::kPolls)) {
          passes.addPass(llvm::createModuleToFunctionPassAdaptor(PollPass()));
        }
        if (!left_out.isSet(Part::kEntryStubs)) passes.addPass(EntryStubPass());
        passes.addPass(LeaveOutPass(hashes));
      });
}

}  // namespace mend::patchc
