// OwnData: what a unit of a source patch declares by <mend/livepatch.h> (its descriptor with the
// arrays, the records of its states, the variables of its parameters), and data that leads to it.
// Another patch has its own: this one's is never found again, and goes with the text.
//
// Thread safety: none; one graph at a time.
#ifndef MEND_JIT_PATCH_OWN_DATA_H_
#define MEND_JIT_PATCH_OWN_DATA_H_

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "jit/patch/patch_descriptor.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"

namespace mend::jit {

class OwnData {
 public:
  // The symbol by which a block is known, of those that have one.
  using BlockNames = llvm::DenseMap<const llvm::jitlink::Block*, llvm::jitlink::Symbol*>;

  // Before the graph is pruned. `new_data`: names that the patch adds. Returns what is wrong with
  // the declarations.
  std::vector<std::string> Find(llvm::jitlink::LinkGraph& graph, const BlockNames& names,
                                const std::set<std::string>& new_data);
  bool Contains(const llvm::jitlink::Block& block) const { return blocks_.contains(&block); }

  // Of the linked graph: reads where the declarations are.
  void Read();
  const PatchDeclarations& declared() const { return declared_; }
  const std::vector<std::pair<uintptr_t, size_t>>& parameter_tables() const {
    return parameter_tables_;
  }

 private:
  class Finder;

  llvm::DenseSet<const llvm::jitlink::Block*> blocks_;
  std::vector<const llvm::jitlink::Symbol*> declarations_;
  PatchDeclarations declared_;
  std::vector<std::pair<uintptr_t, size_t>> parameter_tables_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_OWN_DATA_H_
