// LoopBodiesPass (-fmend-loops): the bodies of loops that run as long as the program does become
// functions of their own, one call a turn, so that a patch of what is in the loop takes effect with
// the next turn, although the function around it never returns.
//
// Which loops: endless ones (nothing behind the loop leads back to the function's caller), and all
// outermost loops of the functions that the flag names. What cannot be outlined without changing
// what it does is left as it is, and a note says why (loop_region.h).
//
// Why a patch is never wrong for the frame that it finds. The function around the loop and the body
// agree on: which variable is at which place of the frame, what its type is, and what a returned
// number means.
//   1. If the two compilations of the outer function differ in code, the outer function is in the
//      patch itself, and no thread gets the new body before it has left the old outer function: a
//      unit sees only old or only new code.
//   2. If they do not, the same addresses are at the same places of the frame, and the same number
//      leads to the same place. That the addresses mean the same is in the body's name: a hash of
//      the variables' names, scopes, types and order (loop_flags.h). A body that means something
//      else has another name and is no version of the old one: the code of the outer function
//      differs, because it calls another function.
//
// Runs before all others, on IR as Clang makes it: there the variables are still known as what they
// are in the source. Clang is made to describe them, and the lives of those that are local to a
// turn, whatever the user's flags are; the pass takes that away again.
#ifndef MEND_PATCHC_CODEGEN_LOOP_BODIES_H_
#define MEND_PATCHC_CODEGEN_LOOP_BODIES_H_

#include <llvm/IR/Function.h>
#include <llvm/IR/PassManager.h>

#include <string>
#include <vector>

#include "patchc/codegen/loop_region.h"
#include "patchc/object/loop_flags.h"

namespace mend::patchc {

struct LoopOptions {
  LoopFlags flags;
  // What the module has for this pass alone.
  bool forget_variables = false;  // debug information but for lines
  bool forget_lines = false;
  bool forget_lifetimes = false;
};

class LoopBodiesPass : public llvm::PassInfoMixin<LoopBodiesPass> {
 public:
  // `notes` gets a line, "FILE:LINE: TEXT", for each loop that is left as it is although the flags
  // ask for it. Both must outlive the pipeline.
  LoopBodiesPass(const LoopOptions* options, std::vector<std::string>* notes)
      : options_(options), notes_(notes) {}
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }

 private:
  void OutlineLoopsOf(llvm::Function& function);
  // False: the loop is left as it is.
  bool OutlineOne(LoopRegion& region, size_t index);
  void ForgetWhatWasAdded(llvm::Module& module) const;

  const LoopOptions* options_;
  std::vector<std::string>* notes_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_LOOP_BODIES_H_
