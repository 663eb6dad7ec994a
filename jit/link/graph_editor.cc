#include "jit/link/graph_editor.h"

#include <algorithm>

#include "llvm/ADT/BitmaskEnum.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {

LLVM_ENABLE_BITMASK_ENUMS_IN_NAMESPACE();

bool IsConstant(const llvm::jitlink::Section& section) {
  if (IsExecutable(section)) return false;
  const bool writable = HasProtection(section, llvm::orc::MemProt::Write);
  return !writable || section.getName().starts_with(".data.rel.ro");
}

bool IsSharedByConstants(const llvm::jitlink::Section& section) {
  llvm::StringRef rest = section.getName();
  if (!rest.consume_front(".rodata.cst") && !rest.consume_front(".rodata.str")) return false;
  return !rest.empty() && rest.find_first_not_of("0123456789.") == llvm::StringRef::npos;
}

bool HasRelocations(const llvm::jitlink::Block& block) {
  return std::any_of(block.edges().begin(), block.edges().end(),
                     [](const llvm::jitlink::Edge& edge) { return edge.isRelocation(); });
}

bool HasSourceName(const llvm::jitlink::Symbol& symbol) {
  if (!symbol.hasName()) return false;
  const llvm::StringRef name = *symbol.getName();
  return !name.empty() && !name.starts_with(".L");
}

llvm::jitlink::Section& SectionNamed(llvm::jitlink::LinkGraph& graph, llvm::StringRef name,
                                     llvm::orc::MemProt protection) {
  llvm::jitlink::Section* const found = graph.findSectionByName(name);
  return found != nullptr ? *found : graph.createSection(name, protection);
}

llvm::jitlink::Symbol& AddNamedSymbol(llvm::jitlink::LinkGraph& graph, llvm::jitlink::Block& block,
                                      uint64_t offset, uint64_t size, llvm::StringRef name,
                                      llvm::jitlink::Scope scope, bool is_callable) {
  llvm::jitlink::Symbol& symbol =
      graph.addAnonymousSymbol(block, offset, size, is_callable, /*IsLive=*/true);
  symbol.setName(graph.intern(name));
  symbol.setScope(scope);
  return symbol;
}

llvm::jitlink::Block& MakeJumpStub(llvm::jitlink::LinkGraph& graph, llvm::jitlink::Symbol& word) {
  static constexpr char kJump[kJumpStubSize] = {'\xff', '\x25', 0, 0, 0, 0, '\xcc', '\xcc'};
  llvm::jitlink::Section& stubs =
      SectionNamed(graph, "$__STUBS", llvm::orc::MemProt::Read | llvm::orc::MemProt::Exec);
  llvm::jitlink::Block& stub = graph.createContentBlock(
      stubs, llvm::ArrayRef<char>(kJump, sizeof(kJump)), llvm::orc::ExecutorAddr(), 16, 0);
  stub.addEdge(llvm::jitlink::x86_64::Delta32, 2, word, -4);
  return stub;
}

}  // namespace mend::jit
