// StackSwitchPass: inline assembly that loads the stack pointer, as coroutine libraries have it,
// sets a flag of its function first (`__mend_switched.FUNCTION`), by which the runtime learns that
// the program goes to stacks that nobody can walk (runtime/safepoint/stack_switches.h).
//
// What is in naked functions and outside of functions is found in the object instead
// (patchc/object/stack_switches.h).
#ifndef MEND_PATCHC_CODEGEN_STACK_SWITCH_H_
#define MEND_PATCHC_CODEGEN_STACK_SWITCH_H_

#include <llvm/ADT/StringRef.h>
#include <llvm/IR/PassManager.h>

namespace mend::patchc {

class StackSwitchPass : public llvm::PassInfoMixin<StackSwitchPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

// Whether the text, as LLVM has it ($0 for an operand), makes the stack pointer lead to another
// stack. Putting a saved stack pointer back, or moving it on the stack that it is on, does not.
bool LoadsStackPointer(llvm::StringRef assembly, bool is_intel);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_STACK_SWITCH_H_
