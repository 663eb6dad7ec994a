// Late symbols: what an explicit patch refers to in a guest module that may not be there yet (rules
// I7, I8). Their names say where they are: `.klp.sym.OBJECT.SYMBOL,POSITION`, which MEND_IN_OBJECT
// of <mend/livepatch.h> spells.
//
// In a graph every reference to one is made to pass an 8-byte word in writable data: loads from the
// table of addresses and calls by a word of their own, pointers in data being words themselves. So
// nothing of the text changes when the object comes, or goes and comes again.
//
// Thread safety: none; one graph at a time.
#ifndef MEND_JIT_LINK_LATE_SYMBOLS_H_
#define MEND_JIT_LINK_LATE_SYMBOLS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"

namespace mend::jit {

struct LateSymbol {
  std::string object;
  std::string symbol;
  unsigned position = 0;  // among symbols of that name in the object; 0: there is only one
};

// Whether the name is meant to be one; ParseLateSymbol says whether it is. INVALID_ARGUMENT
// ("EINVAL: ...").
bool IsLateSymbol(std::string_view name);
absl::StatusOr<LateSymbol> ParseLateSymbol(std::string_view name);

// A word that holds the address of a late symbol, plus `addend`, while that is there; else 0.
struct LateWord {
  std::string symbol;  // as the object file names it
  uintptr_t address = 0;
  int64_t addend = 0;
};

// The late symbols of one graph.
class LateReferences {
 public:
  // Before the graph is pruned: makes references to the external symbol pass words.
  // FAILED_PRECONDITION for one that cannot, such as a direct displacement.
  absl::Status Redirect(llvm::jitlink::LinkGraph& graph, llvm::jitlink::Symbol& symbol);
  // Whether the block holds a word.
  bool HasWord(const llvm::jitlink::Block& block) const;
  // The words of a graph whose relocations have been applied.
  std::vector<LateWord> Words(const llvm::jitlink::LinkGraph& graph) const;

 private:
  bool IsLate(const llvm::jitlink::Symbol& symbol) const;

  std::vector<const llvm::jitlink::Symbol*> symbols_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LATE_SYMBOLS_H_
