// LinkBatch: JITLink over several graphs that refer to one another.
//
// ORC would link each graph as soon as those are known that it waits for, and keep account of which
// symbol waits for which: 65 us a function, most of the time that a program took to start. A load
// is linked as a whole, so nothing has to wait: every graph is pruned and laid out, which fixes all
// addresses; then each gets the addresses that it asked for and is fixed up.
//
// Who calls it: the link engine. Thread safety: none; one batch, one thread, one use.
#ifndef MEND_JIT_LINK_BATCH_H_
#define MEND_JIT_LINK_BATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "jit/graph_editor.h"
#include "jit/link_memory.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/ExecutionEngine/Orc/SymbolStringPool.h"

namespace mend::jit {

using GraphPtr = std::unique_ptr<llvm::jitlink::LinkGraph>;

struct LinkJob {
  GraphPtr graph;
  GraphEditor* editor = nullptr;
};

class LinkBatch {
 public:
  explicit LinkBatch(CodeMemory* memory) : memory_(memory, &editors_) {}

  // Links all graphs, each completely. The message of a failure tells every reason.
  absl::Status Link(std::vector<LinkJob> jobs);

 private:
  class Context;
  // A graph that has its addresses, and waits for those of others.
  struct Pending {
    llvm::jitlink::JITLinkContext::LookupMap wanted;
    std::unique_ptr<llvm::jitlink::JITLinkAsyncLookupContinuation> go_on;
  };

  // Of several definitions of a symbol, one stays: the strong one, else the first.
  void ChooseDefinitions(const std::vector<LinkJob>& jobs);
  void Define(llvm::jitlink::LinkGraph& graph);
  void Resolve(Pending pending);
  void Fail(const std::string& reason);

  GraphEditors editors_;
  LinkMemory memory_;
  llvm::jitlink::AsyncLookupResult defined_;
  std::vector<Pending> pending_;
  std::string failures_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_BATCH_H_
