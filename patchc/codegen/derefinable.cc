#include "patchc/codegen/derefinable.h"

#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/GlobalIFunc.h>
#include <llvm/IR/Module.h>

#include <string>

#include "runtime/format/stand_ins.h"

namespace mend::patchc {
namespace {

constexpr char kLinkageAttribute[] = "mend-linkage";

bool IsChanged(const llvm::Function& function) {
  if (function.isDeclarationForLinker()) return false;
  if (function.hasFnAttribute(llvm::Attribute::Naked)) return false;
  return function.hasExternalLinkage() || function.hasLocalLinkage();
}

std::string Remember(const llvm::Function& function) {
  const char* linkage = function.hasExternalLinkage()   ? "external:"
                        : function.hasInternalLinkage() ? "internal:"
                                                        : "private:";
  return linkage + function.getName().str();
}

}  // namespace

llvm::PreservedAnalyses MakeDerefinablePass::run(llvm::Module& module,
                                                 llvm::ModuleAnalysisManager&) {
  llvm::SmallPtrSet<const llvm::Function*, 4> resolvers;
  for (const llvm::GlobalIFunc& ifunc : module.ifuncs()) {
    if (const llvm::Function* resolver = ifunc.getResolverFunction()) resolvers.insert(resolver);
  }
  for (llvm::Function& function : module) {
    if (!IsChanged(function) || resolvers.contains(&function)) continue;
    function.addFnAttr(kLinkageAttribute, Remember(function));
    // Not every block that hosted code gives to free is the program's (jit/guest_libc/stand_ins.h):
    // calls pass the host.
    if (TakesBlock(function.getName()) && !function.hasFnAttribute(llvm::Attribute::AlwaysInline)) {
      function.addFnAttr(llvm::Attribute::NoInline);
    }
    // Local definitions stay bound to this module: calls must not begin to go through the GOT.
    const bool is_dso_local = function.isDSOLocal();
    function.setLinkage(llvm::GlobalValue::WeakODRLinkage);
    function.setDSOLocal(is_dso_local);
  }
  return llvm::PreservedAnalyses::none();
}

llvm::PreservedAnalyses RestoreLinkagePass::run(llvm::Module& module,
                                                llvm::ModuleAnalysisManager&) {
  for (llvm::Function& function : module) {
    if (!function.hasFnAttribute(kLinkageAttribute)) continue;
    const llvm::StringRef remembered =
        function.getFnAttribute(kLinkageAttribute).getValueAsString();
    const auto [linkage, name] = remembered.split(':');
    const bool is_original = function.hasWeakODRLinkage() && name == function.getName();
    if (is_original) {
      function.setLinkage(linkage == "external"   ? llvm::GlobalValue::ExternalLinkage
                          : linkage == "internal" ? llvm::GlobalValue::InternalLinkage
                                                  : llvm::GlobalValue::PrivateLinkage);
    }
    function.removeFnAttr(kLinkageAttribute);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
