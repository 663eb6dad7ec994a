// Leaves out the functions of a unit that an edit has not changed. A patch takes the program's own
// wherever nothing changed, so neither optimising nor generating them is of use. They keep their
// names in the object, with bodies that trap: nobody will run those.
//
//   when                    who           leaves out
//   before the optimiser    PrunePass     what no edited function is of interest to
//   after all other passes  LeaveOutPass  what was needed only for others, or came out as it was
//
// Both compare hashes of IR (ir_hash.h) with those that the program's object has on record.
//
// A function is *affected* when its IR has changed, or when the program's code of it has copies of
// a function that is affected: objects record what the inliner did. All others are right as they
// are, because the optimiser carries facts from one function to another in one way only, by
// inlining (MakeDerefinablePass sees to it that it infers nothing from a body that could be
// replaced, PinStatePass that it infers nothing from the uses of a variable). An edited function
// that has become small enough for its callers to inline it does not make these affected: they
// call it through its entry. The optimiser gets the affected functions, and what it might inline
// into them: all that they refer to, directly or through others and the contents of variables.
//
// What came out as it was may be left out because code generation works on one function at a time
// (interprocedural register allocation and outlining are off): nothing after LeaveOutPass looks
// into the body of another function, only at what the hash covers.
#ifndef MEND_PATCHC_CODEGEN_LEAVE_OUT_H_
#define MEND_PATCHC_CODEGEN_LEAVE_OUT_H_

#include <llvm/IR/PassManager.h>

#include <map>
#include <set>
#include <string>

namespace mend::patchc {

// A function of the program as it is on record.
struct KnownFunction {
  std::string input_hash;        // of its IR when it entered the optimiser; empty: unknown
  std::string ir_hash;           // of its IR when code was generated; empty: unknown
  bool has_code = false;         // whether any was
  std::set<std::string> copies;  // whose code it has copies of, if it has code
};

// Of a unit, by symbol name.
struct FunctionHashes {
  std::map<std::string, KnownFunction> known;  // in: what may be left out; empty: nothing
  std::map<std::string, std::string> input;    // out: input_hash of all functions that have one
  std::map<std::string, std::string> found;    // out: ir_hash of all functions that have one
  std::set<std::string> unaffected;            // optimised for the sake of others only
  std::set<std::string> left_out;              // out: of the known ones that have code
};

class PrunePass : public llvm::PassInfoMixin<PrunePass> {
 public:
  // `hashes` must outlive the pipeline.
  explicit PrunePass(FunctionHashes* hashes) : hashes_(hashes) {}
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }

 private:
  FunctionHashes* hashes_;
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
