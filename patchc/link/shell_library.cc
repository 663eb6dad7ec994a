#include "patchc/link/shell_library.h"

#include <llvm/ADT/STLFunctionalExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "patchc/support/toolchain.h"

namespace mend::patchc {
namespace {

void Define(llvm::Module& module, const ExportedSymbol& symbol) {
  llvm::LLVMContext& context = module.getContext();
  const auto linkage =
      symbol.is_weak ? llvm::GlobalValue::WeakAnyLinkage : llvm::GlobalValue::ExternalLinkage;
  if (symbol.is_function) {
    auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), false);
    auto* function = llvm::Function::Create(type, linkage, symbol.name, module);
    llvm::IRBuilder<> builder(llvm::BasicBlock::Create(context, "", function));
    builder.CreateIntrinsic(llvm::Intrinsic::trap, {});
    builder.CreateUnreachable();
    return;
  }
  auto* type = llvm::ArrayType::get(llvm::Type::getInt8Ty(context), symbol.size);
  new llvm::GlobalVariable(module, type, /*isConstant=*/false, linkage,
                           llvm::ConstantAggregateZero::get(type), symbol.name);
}

// The relocatable of a module that `fill` fills.
absl::StatusOr<std::string> MakeObject(llvm::function_ref<void(llvm::Module&)> fill) {
  InitializeCodeGenerator();
  const llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (target == nullptr) return absl::InternalError(error);
  const std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(triple, "", "", llvm::TargetOptions(), llvm::Reloc::PIC_));
  llvm::LLVMContext context;
  llvm::Module module("shell", context);
  module.setTargetTriple(triple);
  module.setDataLayout(machine->createDataLayout());
  module.setPICLevel(llvm::PICLevel::BigPIC);
  fill(module);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile)) {
    return absl::InternalError("the code generator writes no objects");
  }
  passes.run(module);
  return std::string(object.data(), object.size());
}

}  // namespace

absl::StatusOr<std::string> MakeShellObject(const std::vector<ExportedSymbol>& exports) {
  return MakeObject([&exports](llvm::Module& module) {
    for (const ExportedSymbol& symbol : exports) {
      // A symbol with versions is exported once for each.
      if (module.getNamedValue(symbol.name) == nullptr) Define(module, symbol);
    }
  });
}

absl::StatusOr<std::string> AssembleObject(const std::string& text) {
  return MakeObject([&text](llvm::Module& module) { module.setModuleInlineAsm(text); });
}

}  // namespace mend::patchc
