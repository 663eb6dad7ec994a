#include "patchc/codegen/thread_offset.h"

#include <string>

#include "runtime/format/object_description.h"

namespace mend::patchc {

llvm::GlobalVariable* ThreadOffsetSymbol(llvm::Module& module, llvm::StringRef name,
                                         llvm::Type* type) {
  const std::string symbol_name = kTlsOffsetPrefix + name.str();
  if (llvm::GlobalVariable* known = module.getGlobalVariable(symbol_name, true)) return known;
  auto* symbol = new llvm::GlobalVariable(
      module, type, /*isConstant=*/false, llvm::GlobalValue::ExternalWeakLinkage,
      /*Initializer=*/nullptr, symbol_name, /*InsertBefore=*/nullptr,
      llvm::GlobalVariable::LocalExecTLSModel);
  // Weak and hidden, so that an ordinary link of the object resolves it to zero and succeeds.
  symbol->setVisibility(llvm::GlobalValue::HiddenVisibility);
  return symbol;
}

}  // namespace mend::patchc
