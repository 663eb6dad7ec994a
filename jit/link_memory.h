// LinkMemory: gives JITLink's graphs their places in CodeMemory, each block where the graph's
// editor wants it. Working memory is the memory itself: it is writable while a link runs.
//
// Thread safety: `allocate` may be called for several graphs at a time; they get their memory in
// the order of their numbers, one waiting for the other.
#ifndef MEND_JIT_LINK_MEMORY_H_
#define MEND_JIT_LINK_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "jit/code_memory.h"
#include "jit/graph_editor.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"
#include "runtime/base/mutex.h"

namespace mend::jit {

class LinkMemory : public llvm::jitlink::JITLinkMemoryManager {
 public:
  // `memory` must outlive the manager.
  explicit LinkMemory(CodeMemory* memory) : memory_(memory) {}

  // Graphs are numbered from zero on, and all added before one is linked.
  void Add(const llvm::jitlink::LinkGraph* graph, GraphEditor* editor, size_t number) {
    graphs_[graph] = {editor, number};
  }
  // The graph of that number has its memory, or will not ask for any.
  void PassTurn(size_t number) ABSL_LOCKS_EXCLUDED(mu_);

  void allocate(const llvm::jitlink::JITLinkDylib* dylib, llvm::jitlink::LinkGraph& graph,
                OnAllocatedFunction on_allocated) override;
  // Nothing is freed through here: permanent memory never is, and a patch's pages by their module.
  void deallocate(std::vector<FinalizedAlloc> allocations,
                  OnDeallocatedFunction on_deallocated) override;

 private:
  struct Known {
    GraphEditor* editor = nullptr;
    size_t number = 0;
  };

  void AwaitTurn(size_t number);

  CodeMemory* const memory_;
  llvm::DenseMap<const llvm::jitlink::LinkGraph*, Known> graphs_;
  // Whose turn it is. Relaxed: what the graphs share is CodeMemory's to protect, and their order is
  // for the sake of the result alone.
  std::atomic<uint32_t> turn_{0};
  Mutex mu_;
  std::vector<bool> passed_ ABSL_GUARDED_BY(mu_);  // by number
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_MEMORY_H_
