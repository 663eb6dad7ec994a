// What the comparison of two objects cannot see, but the compiler knows: which functions were
// inlined into which, which the front end promised not to throw, which have a loop and no way back
// to their caller, and which give away the address of a constant. Descriptions and explanations are
// made of it; what is in a patch is decided by fingerprints.
//
//   when                       who
//   before the optimiser       BeginFactsPass: promises, calls that must be inlined, MEND_UNIT
//   in the inliner             an advisor that decides nothing itself
//   after the optimiser        EndFactsPass: hands it all over
//
// In between it is metadata of the module, which outlives functions that are inlined and gone.
#ifndef MEND_PATCHC_CODEGEN_CODE_FACTS_H_
#define MEND_PATCHC_CODEGEN_CODE_FACTS_H_

#include <llvm/IR/PassManager.h>

#include <map>
#include <set>
#include <string>

namespace llvm {
class PassBuilder;
}  // namespace llvm

namespace mend::patchc {

struct CodeFacts {
  std::map<std::string, std::set<std::string>> inlined;  // by caller: the callees
  std::set<std::string> nounwind;                        // functions, as the front end left them
  std::set<std::string> endless;                         // functions that loop and never return
  // By constant: the functions that store its address or return it.
  std::map<std::string, std::set<std::string>> address_givers;

  // Whose code `caller` has copies of, looking through functions that are not `known`: they are
  // not there any more to speak for themselves.
  std::set<std::string> InlinedInto(const std::string& caller,
                                    const std::set<std::string>& known) const;
};

struct BeginFactsPass : llvm::PassInfoMixin<BeginFactsPass> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

class EndFactsPass : public llvm::PassInfoMixin<EndFactsPass> {
 public:
  // `facts` must live until the module is compiled.
  explicit EndFactsPass(CodeFacts* facts) : facts_(facts) {}
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }

 private:
  CodeFacts* const facts_;
};

// Has the inliner's decisions recorded.
void RecordInlining(llvm::PassBuilder& builder);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_CODE_FACTS_H_
