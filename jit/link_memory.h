// LinkMemory: gives JITLink's graphs their places in CodeMemory, each block where the graph's
// editor wants it. Working memory is the memory itself: it is writable while a link runs.
//
// Thread safety: one link at a time.
#ifndef MEND_JIT_LINK_MEMORY_H_
#define MEND_JIT_LINK_MEMORY_H_

#include "jit/code_memory.h"
#include "jit/graph_editor.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"

namespace mend::jit {

using GraphEditors = llvm::DenseMap<const llvm::jitlink::LinkGraph*, GraphEditor*>;

class LinkMemory : public llvm::jitlink::JITLinkMemoryManager {
 public:
  // Both must outlive the manager. Graphs without an editor are refused.
  LinkMemory(CodeMemory* memory, const GraphEditors* editors)
      : memory_(memory), editors_(editors) {}

  void allocate(const llvm::jitlink::JITLinkDylib* dylib, llvm::jitlink::LinkGraph& graph,
                OnAllocatedFunction on_allocated) override;
  // Nothing is freed through here: permanent memory never is, and a patch's pages by their module.
  void deallocate(std::vector<FinalizedAlloc> allocations,
                  OnDeallocatedFunction on_deallocated) override;

 private:
  CodeMemory* const memory_;
  const GraphEditors* const editors_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_MEMORY_H_
