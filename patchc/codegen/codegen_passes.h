// The code generation passes that make a unit hostable and patchable, and where in LLVM's pipeline
// they run. Programs, guest modules and patches go through the same ones.
//
//   pipeline start   BeginFactsPass        what the front end promised of functions
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

#include "patchc/codegen/code_facts.h"

namespace mend::patchc {

struct FunctionHashes;

// Both are filled, and must outlive the pipeline.
void RegisterCodegenPasses(llvm::PassBuilder& builder, CodeFacts* facts, FunctionHashes* hashes);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_CODEGEN_PASSES_H_
