#include "patchc/codegen/entry_stub.h"

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/ReplaceConstant.h>

#include <algorithm>
#include <cstdint>

namespace mend::patchc {
namespace {

constexpr char kEntryAttribute[] = "patchable-function-entry";
constexpr char kPrefixAttribute[] = "patchable-function-prefix";
constexpr char kEntryBytes[] = "8";
constexpr uint64_t kEntryAlignmentBytes = 16;

bool IsCoroutinePart(const llvm::Function& function) {
  const llvm::StringRef name = function.getName();
  return name.ends_with(".resume") || name.ends_with(".destroy") || name.ends_with(".cleanup");
}

bool CanHaveStub(const llvm::Function& function) {
  return !function.hasFnAttribute(llvm::Attribute::Naked) && !IsCoroutinePart(function) &&
         !function.hasSection();
}

// A static function's address, taken in its own body, would be resolved by the assembler, so that
// a new version's body would see the new version's address. Through a constant it is a relocation.
void MakeOwnAddressRelocated(llvm::Function& function) {
  llvm::convertUsersOfConstantsToInstructions({&function}, &function);
  llvm::SmallVector<llvm::Use*, 4> uses;
  for (llvm::Use& use : function.uses()) {
    auto* user = llvm::dyn_cast<llvm::Instruction>(use.getUser());
    if (user == nullptr || user->getFunction() != &function) continue;
    const auto* call = llvm::dyn_cast<llvm::CallBase>(user);
    if (call != nullptr && call->isCallee(&use)) continue;
    uses.push_back(&use);
  }
  if (uses.empty()) return;
  auto* pointer = new llvm::GlobalVariable(*function.getParent(), function.getType(),
                                           /*isConstant=*/true, llvm::GlobalValue::PrivateLinkage,
                                           &function, "__mend_self." + function.getName());
  for (llvm::Use* use : uses) {
    auto* user = llvm::cast<llvm::Instruction>(use->getUser());
    auto* phi = llvm::dyn_cast<llvm::PHINode>(user);
    llvm::BasicBlock* incoming = phi != nullptr ? phi->getIncomingBlock(*use) : nullptr;
    llvm::IRBuilder<> builder(incoming != nullptr ? incoming->getTerminator() : user);
    // Volatile, or the code generator would see through the constant.
    llvm::Value* address = builder.CreateLoad(function.getType(), pointer, /*isVolatile=*/true);
    if (phi == nullptr) {
      use->set(address);
    } else {
      // A block may come in more than once, always with the same value.
      phi->setIncomingValueForBlock(incoming, address);
    }
  }
}

}  // namespace

llvm::PreservedAnalyses EntryStubPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  for (llvm::Function& function : module) {
    if (function.isDeclarationForLinker()) continue;
    // The front end puts initialisers of variables there; each gets a section of its own instead,
    // so that one of them changing does not move the others.
    if (function.getSection() == ".text.startup") function.setSection("");
    function.removeFnAttr(kPrefixAttribute);
    if (!CanHaveStub(function)) {
      function.removeFnAttr(kEntryAttribute);
      continue;
    }
    function.addFnAttr(kEntryAttribute, kEntryBytes);
    function.setAlignment(
        std::max(llvm::Align(kEntryAlignmentBytes), function.getAlign().valueOrOne()));
    if (function.hasLocalLinkage()) MakeOwnAddressRelocated(function);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
