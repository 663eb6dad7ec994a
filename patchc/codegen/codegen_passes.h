// The code generation passes that make a unit hostable and patchable, and where in LLVM's pipeline
// they run. Programs, guest modules and patches go through the same ones.
//
//   pipeline start   LoopBodiesPass         bodies of loops as functions (-fmend-loops)
//                    PrunePass              leaves out what an edit does not reach
//                    BeginFactsPass         what the front end promised of functions
//                    MakeDerefinablePass    no caller relies on facts inferred from a body
//                    PinStatePass           mutable statics keep their shape
//   optimizer last   RestoreLinkagePass     undoes the first one; GlobalDCE follows
//                    EndFactsPass           what is known of each function, for the description
//                    TlsLoweringPass        no thread-local is left for the linker
//                    PollPass               safepoint polls, after the vectoriser
//                    EntryStubPass          room for a jump at every function's entry
//                    LeaveOutPass           hashes; no code for what is known not to have changed
//
// Called by ClangRunner and the driver, once per module.
#ifndef MEND_PATCHC_CODEGEN_CODEGEN_PASSES_H_
#define MEND_PATCHC_CODEGEN_CODEGEN_PASSES_H_

#include <llvm/Passes/PassBuilder.h>

#include <string>
#include <vector>

#include "patchc/codegen/code_facts.h"
#include "patchc/codegen/loop_bodies.h"

namespace mend::patchc {

struct FunctionHashes;

// All must outlive the pipeline.
struct CodegenResults {
  CodeFacts* facts;
  FunctionHashes* hashes;
  std::vector<std::string>* notes;  // for people; a line each
};
void RegisterCodegenPasses(llvm::PassBuilder& builder, const LoopOptions* loops,
                           const CodegenResults& results);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_CODEGEN_PASSES_H_
