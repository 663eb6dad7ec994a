// LeaveOutPass: the last one. Hashes every function's IR (ir_hash.h), and leaves those out whose
// hash is known already: they get a body that traps, since nobody will run it, and code is
// generated for the others only. A patch takes the program's own functions wherever nothing
// changed, and code generation is half of the time that a unit takes.
//
// Sound because code generation works on one function at a time (interprocedural register
// allocation and outlining are off): nothing after this pass looks into the body of another
// function, only at what the hash covers. Every function stays in the object under its name, and
// keeps what others see of it.
#ifndef MEND_PATCHC_CODEGEN_LEAVE_OUT_H_
#define MEND_PATCHC_CODEGEN_LEAVE_OUT_H_

#include <llvm/IR/PassManager.h>

#include <map>
#include <set>
#include <string>

namespace mend::patchc {

// Of a unit, by symbol name.
struct FunctionHashes {
  std::map<std::string, std::string> known;  // in: leave out what has this hash; empty: nothing
  std::map<std::string, std::string> found;  // out: of all functions that have one
  std::set<std::string> left_out;            // out
};

class LeaveOutPass : public llvm::PassInfoMixin<LeaveOutPass> {
 public:
  // `hashes` must outlive the pipeline.
  explicit LeaveOutPass(FunctionHashes* hashes) : hashes_(hashes) {}
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }

 private:
  FunctionHashes* hashes_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_LEAVE_OUT_H_
