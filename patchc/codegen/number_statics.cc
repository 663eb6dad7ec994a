#include "patchc/codegen/number_statics.h"

#include <llvm/ADT/StringExtras.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Module.h>

#include <map>
#include <string>

namespace mend::patchc {
namespace {

// By the numbers that LLVM counted, which follow the order of the source; the first one has none.
using Numbered = std::map<unsigned long long, llvm::GlobalVariable*>;

}  // namespace

llvm::PreservedAnalyses NumberStaticsPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  std::map<std::string, Numbered> groups;
  for (llvm::GlobalVariable& variable : module.globals()) {
    if (variable.isDeclaration() || !variable.hasInternalLinkage()) continue;
    llvm::StringRef stem = variable.getName();
    unsigned long long number = 0;
    const auto [name, digits] = stem.rsplit('.');
    if (!digits.empty() && llvm::all_of(digits, llvm::isDigit)) {
      if (digits.getAsInteger(10, number)) continue;
      stem = name;
    }
    const llvm::StringRef function = stem.rsplit('.').first;
    if (function == stem || module.getFunction(function) == nullptr) continue;
    groups[stem.str()][number] = &variable;
  }
  bool changed = false;
  for (const auto& [stem, numbered] : groups) {
    if (numbered.size() < 2) continue;
    for (const auto& [number, variable] : numbered) variable->setName("");
    unsigned next = 0;
    for (const auto& [number, variable] : numbered) {
      variable->setName(next == 0 ? stem : stem + "." + std::to_string(next));
      ++next;
    }
    changed = true;
  }
  return changed ? llvm::PreservedAnalyses::none() : llvm::PreservedAnalyses::all();
}

}  // namespace mend::patchc
