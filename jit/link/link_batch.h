// LinkBatch: JITLink over several graphs that refer to one another.
//
// ORC would link each graph as soon as those are known that it waits for, and keep account of which
// symbol waits for which: 65 us a function, most of the time that a program took to start. A load
// is linked as a whole, so nothing has to wait: every graph is pruned; all get their memory, which
// fixes all addresses; then each gets the addresses that it asked for and is fixed up.
//
// Each of these steps is done to several graphs at a time, if the load asks for it: a start is
// mostly this.
//
// Who calls it: the link engine. Thread safety: none; one batch, one use. Editors are called on
// threads of the runtime's, each by one at a time.
#ifndef MEND_JIT_LINK_LINK_BATCH_H_
#define MEND_JIT_LINK_LINK_BATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "jit/link/graph_editor.h"
#include "jit/link/link_memory.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/ExecutionEngine/Orc/SymbolStringPool.h"
#include "runtime/base/mutex.h"

namespace mend::jit {

using GraphPtr = std::unique_ptr<llvm::jitlink::LinkGraph>;

struct LinkJob {
  GraphPtr graph;
  GraphEditor* editor = nullptr;
};

// Of several definitions of a symbol, one stays: the strong one, else the first.
// FAILED_PRECONDITION when several are strong.
absl::Status ChooseDefinitions(const std::vector<LinkJob>& jobs);

class LinkBatch {
 public:
  // `threads`: how many graphs at a time.
  LinkBatch(CodeMemory* memory, size_t threads) : memory_(memory), threads_(threads) {}

  // Links all graphs, each completely. Of several definitions of a symbol one is left
  // (ChooseDefinitions). The message of a failure tells every reason.
  absl::Status Link(std::vector<LinkJob> jobs);

 private:
  class Context;
  // A graph that has its addresses, and waits for those of others.
  struct Pending {
    llvm::jitlink::JITLinkContext::LookupMap wanted;
    std::unique_ptr<llvm::jitlink::JITLinkAsyncLookupContinuation> go_on;
  };

  void Define(llvm::jitlink::LinkGraph& graph);
  void Resolve(Pending pending);
  void Fail(const std::string& reason);
  bool HasFailed();

  LinkMemory memory_;
  const size_t threads_;
  std::vector<Pending> pending_;  // by job; empty where the job failed
  Mutex mu_;
  bool gives_up_ = false;  // written while no other thread works
  // Complete, and not changed any more, once every graph is laid out.
  llvm::jitlink::AsyncLookupResult defined_;
  std::string failures_ ABSL_GUARDED_BY(mu_);
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LINK_BATCH_H_
