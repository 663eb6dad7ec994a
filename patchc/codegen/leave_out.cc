#include "patchc/codegen/leave_out.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/GlobalAlias.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include "patchc/codegen/ir_hash.h"

namespace mend::patchc {
namespace {

// Whether anything but the function's own name leads into it: a table elsewhere may hold addresses
// of its blocks, and an alias may be new.
bool IsReachedOtherwise(const llvm::Function& function,
                        const llvm::SmallPtrSetImpl<const llvm::GlobalObject*>& aliased) {
  return aliased.contains(&function) || llvm::any_of(function, [](const llvm::BasicBlock& block) {
           return block.hasAddressTaken();
         });
}

void LeaveOut(llvm::Function& function) {
  function.dropAllReferences();
  function.clearMetadata();
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(function.getContext(), "", &function));
  builder.CreateIntrinsic(llvm::Intrinsic::trap, {});
  builder.CreateUnreachable();
}

}  // namespace

llvm::PreservedAnalyses LeaveOutPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  IrHasher hasher(module);
  llvm::SmallPtrSet<const llvm::GlobalObject*, 8> aliased;
  for (const llvm::GlobalAlias& alias : module.aliases()) aliased.insert(alias.getAliaseeObject());
  llvm::SmallVector<llvm::GlobalValue*, 64> defined;
  llvm::SmallVector<llvm::Function*, 64> unchanged;
  for (llvm::Function& function : module) {
    if (function.isDeclarationForLinker()) continue;
    defined.push_back(&function);
    const std::string hash = hasher.Hash(function);
    if (hash.empty()) continue;
    const std::string name = function.getName().str();
    hashes_->found[name] = hash;
    const auto known = hashes_->known.find(name);
    const bool is_known = known != hashes_->known.end() && known->second == hash;
    if (is_known && !IsReachedOtherwise(function, aliased)) unchanged.push_back(&function);
  }
  if (unchanged.empty()) return llvm::PreservedAnalyses::all();
  // What only they call must not be taken for unused.
  llvm::appendToCompilerUsed(module, defined);
  for (llvm::Function* function : unchanged) {
    hashes_->left_out.insert(function->getName().str());
    LeaveOut(*function);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
