// What the comparison of two objects cannot see, but the optimiser knows: which functions were
// inlined into which, and which functions have a loop and no way back to their caller. It only
// explains a patch; what is in it is decided by fingerprints.
#ifndef MEND_PATCHC_CODEGEN_CODE_FACTS_H_
#define MEND_PATCHC_CODEGEN_CODE_FACTS_H_

#include <map>
#include <set>
#include <string>

namespace llvm {
class PassBuilder;
}  // namespace llvm

namespace mend::patchc {

struct CodeFacts {
  std::map<std::string, std::set<std::string>> inlined;  // by caller: the callees
  std::set<std::string> endless;                         // functions that loop and never return
};

// Lets the pipeline fill `facts`, which must live until the module is compiled.
void CollectCodeFacts(llvm::PassBuilder& builder, CodeFacts* facts);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_CODE_FACTS_H_
