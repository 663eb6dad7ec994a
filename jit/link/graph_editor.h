// GraphEditor: what a loader does to one LinkGraph while JITLink links it, and where it wants its
// blocks. One editor per graph; the link engine calls it on the thread that links.
#ifndef MEND_JIT_LINK_GRAPH_EDITOR_H_
#define MEND_JIT_LINK_GRAPH_EDITOR_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "jit/link/code_memory.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/Support/Error.h"

namespace mend::jit {

// Where a block goes: permanent memory of one kind, or the pages that are freed with a patch's
// text.
enum class Placement : uint8_t { kText, kConstant, kData, kModuleText, kModuleRest };

class GraphEditor {
 public:
  virtual ~GraphEditor() = default;
  // Unwind data has been split by function; nothing has been pruned.
  virtual llvm::Error BeforePrune(llvm::jitlink::LinkGraph& /*graph*/) {
    return llvm::Error::success();
  }
  virtual Placement PlacementOf(const llvm::jitlink::Block& block) const = 0;
  // Memory for blocks of a permanent placement; here: of the program's.
  virtual absl::StatusOr<uintptr_t> Allocate(CodeMemory& memory, MemoryKind kind, size_t size,
                                             size_t alignment) {
    return memory.Allocate(kind, size, alignment);
  }
  // An address that was reserved for the block.
  virtual std::optional<uintptr_t> ReservedAddress(const llvm::jitlink::Block& /*block*/) const {
    return std::nullopt;
  }
  // Told of the pages that kModuleText and kModuleRest got. The editor's owner frees them, even if
  // the link fails afterwards.
  virtual void TakeModulePages(const ModulePages& /*pages*/) {}
  // Every relocation has been applied, the memory is still writable.
  virtual llvm::Error AfterFixup(llvm::jitlink::LinkGraph& graph) = 0;
};

inline bool HasProtection(const llvm::jitlink::Section& section, llvm::orc::MemProt bit) {
  using Bits = std::underlying_type_t<llvm::orc::MemProt>;
  return (static_cast<Bits>(section.getMemProt()) & static_cast<Bits>(bit)) != 0;
}

inline bool IsExecutable(const llvm::jitlink::Section& section) {
  return HasProtection(section, llvm::orc::MemProt::Exec);
}

inline bool IsAllocated(const llvm::jitlink::Section& section) {
  return section.getMemLifetime() != llvm::orc::MemLifetime::NoAlloc;
}

// Written only by relocations, before the program runs (RELRO in a native process), or not at all.
bool IsConstant(const llvm::jitlink::Section& section);

// Whether the section is one of those that a unit's mergeable constants share: `.rodata.cst16`,
// `.rodata.str1.1`. Some have names in the source (a static array whose address nobody compares),
// but what stands where between them differs from version to version: the block is no single datum,
// and goes by its content.
bool IsSharedByConstants(const llvm::jitlink::Section& section);

bool HasRelocations(const llvm::jitlink::Block& block);

// A symbol that the source's author would know: not one of the assembler's temporaries, not a
// section's.
bool HasSourceName(const llvm::jitlink::Symbol& symbol);

// The graph's section of that name, made if there is none.
llvm::jitlink::Section& SectionNamed(llvm::jitlink::LinkGraph& graph, llvm::StringRef name,
                                     llvm::orc::MemProt protection);

// A live symbol of that name. In place of LinkGraph::addDefinedSymbol: with a copy of that function
// in our code LLVM's own calls come to it, and where assertions are compiled it looks through all
// symbols of the graph for another one of the name.
llvm::jitlink::Symbol& AddNamedSymbol(llvm::jitlink::LinkGraph& graph, llvm::jitlink::Block& block,
                                      uint64_t offset, uint64_t size, llvm::StringRef name,
                                      llvm::jitlink::Scope scope, bool is_callable);

// The bytes of a stub of MakeJumpStub.
inline constexpr size_t kJumpStubSize = 8;
// A stub that jumps to the address in `word`, in JITLink's own section of stubs, so that it is
// unwound as those are.
llvm::jitlink::Block& MakeJumpStub(llvm::jitlink::LinkGraph& graph, llvm::jitlink::Symbol& word);

inline std::string_view View(llvm::StringRef text) { return {text.data(), text.size()}; }

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_GRAPH_EDITOR_H_
