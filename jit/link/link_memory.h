// LinkMemory: gives JITLink's graphs their places in CodeMemory, each block where the graph's
// editor wants it. Working memory is the memory itself: it is writable while a link runs.
//
// A graph that asks for its memory waits until all have asked. Then they get it, one after the
// other in the order of their numbers, so that a program lies in the same way each time; and each
// goes on.
//
// Thread safety: `allocate`, and later `GoOn`, may be called for several graphs at a time.
#ifndef MEND_JIT_LINK_LINK_MEMORY_H_
#define MEND_JIT_LINK_LINK_MEMORY_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "jit/link/code_memory.h"
#include "jit/link/graph_editor.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"

namespace mend::jit {

class LinkMemory : public llvm::jitlink::JITLinkMemoryManager {
 public:
  // `memory` must outlive the manager.
  explicit LinkMemory(CodeMemory* memory);
  ~LinkMemory() override;

  // Graphs are numbered from zero on, in this order, and all added before one is linked.
  void Add(const llvm::jitlink::LinkGraph* graph, GraphEditor* editor);
  // While nothing else happens. What earlier graphs took stays taken when one fails.
  absl::Status Place();
  // Goes on with the graph of that number if it has asked; with an error unless `ok`. Once.
  void GoOn(size_t number, bool ok);

  void allocate(const llvm::jitlink::JITLinkDylib* dylib, llvm::jitlink::LinkGraph& graph,
                OnAllocatedFunction on_allocated) override;
  // Nothing is freed through here: permanent memory never is, and a patch's pages by their module.
  void deallocate(std::vector<FinalizedAlloc> allocations,
                  OnDeallocatedFunction on_deallocated) override;

 private:
  class Places;
  struct Request {
    GraphEditor* editor;
    std::unique_ptr<Places> places;  // null: the graph has not come so far
    OnAllocatedFunction on_allocated;
  };

  CodeMemory* const memory_;
  llvm::DenseMap<const llvm::jitlink::LinkGraph*, size_t> numbers_;
  std::vector<Request> requests_;  // by number
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LINK_MEMORY_H_
