#include "jit/graph_editor.h"

namespace mend::jit {

bool IsConstant(const llvm::jitlink::Section& section) {
  if (IsExecutable(section)) return false;
  const bool writable = HasProtection(section, llvm::orc::MemProt::Write);
  return !writable || section.getName().starts_with(".data.rel.ro");
}

bool HasSourceName(const llvm::jitlink::Symbol& symbol) {
  if (!symbol.hasName()) return false;
  const llvm::StringRef name = *symbol.getName();
  return !name.empty() && !name.starts_with(".L");
}

}  // namespace mend::jit
