#include "patchc/codegen/tls_lowering.h"

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/DataLayout.h>
#include <llvm/IR/GlobalAlias.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include <vector>

#include "patchc/codegen/thread_offset.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

// A group that is named after the variable moves to its image, with what else is in it.
void ReplaceComdat(const llvm::GlobalVariable& variable, llvm::GlobalVariable& image) {
  llvm::Module& module = *image.getParent();
  llvm::Comdat* group = const_cast<llvm::Comdat*>(variable.getComdat());
  if (group == nullptr) return;
  if (group->getName() == variable.getName()) {
    llvm::Comdat* renamed = module.getOrInsertComdat(image.getName());
    renamed->setSelectionKind(group->getSelectionKind());
    for (llvm::GlobalObject& object : module.global_objects()) {
      if (object.getComdat() == group) object.setComdat(renamed);
    }
    group = renamed;
  }
  image.setComdat(group);
}

llvm::GlobalVariable* CreateImage(const llvm::GlobalVariable& variable, llvm::Module& module) {
  auto* image = new llvm::GlobalVariable(module, variable.getValueType(), /*isConstant=*/false,
                                         variable.getLinkage(),
                                         const_cast<llvm::Constant*>(variable.getInitializer()),
                                         kTlsImagePrefix + variable.getName().str());
  image->setVisibility(variable.getVisibility());
  image->setDSOLocal(variable.isDSOLocal());
  image->setAlignment(module.getDataLayout().getValueOrABITypeAlignment(variable.getAlign(),
                                                                        variable.getValueType()));
  image->setSection(".mend.tls." + variable.getName().str());
  ReplaceComdat(variable, *image);
  return image;
}

bool IsAliased(const llvm::GlobalVariable& variable) {
  for (const llvm::GlobalAlias& alias : variable.getParent()->aliases()) {
    if (alias.getAliaseeObject() == &variable) return true;
  }
  return false;
}

}  // namespace

llvm::PreservedAnalyses TlsLoweringPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  std::vector<llvm::GlobalVariable*> variables;
  for (llvm::GlobalVariable& variable : module.globals()) {
    if (variable.isThreadLocal()) variables.push_back(&variable);
  }
  if (variables.empty()) return llvm::PreservedAnalyses::all();
  llvm::removeFromUsedLists(module, [](llvm::Constant* constant) {
    const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(constant->stripPointerCasts());
    return variable != nullptr && variable->isThreadLocal();
  });
  llvm::SmallVector<llvm::GlobalValue*, 8> images;
  for (llvm::GlobalVariable* variable : variables) {
    if (IsAliased(*variable)) {
      module.getContext().emitError("thread-local variable '" + variable->getName() +
                                    "' cannot be hosted: it has an alias");
      continue;
    }
    llvm::GlobalVariable* offset =
        ThreadOffsetSymbol(module, variable->getName(), variable->getValueType());
    offset->setAlignment(variable->getAlign());
    variable->replaceAllUsesWith(offset);
    if (!variable->isDeclaration() && !variable->hasAvailableExternallyLinkage()) {
      images.push_back(CreateImage(*variable, module));
    }
    variable->eraseFromParent();
  }
  // Nothing in the module refers to an image: the host does.
  llvm::appendToCompilerUsed(module, images);
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
