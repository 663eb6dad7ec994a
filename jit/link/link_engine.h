// LinkEngine: ORC, as far as it is used: an ExecutionSession in this process, to which each load is
// one materialization unit with one symbol that stands for all of it. The unit links graphs that
// the loaders have built and edited (link_batch.h). Nothing is compiled, nothing outlasts the call
// on a thread of its own. ORC knows none of a program's names: the symbol index does.
//
// Thread safety: graphs may be built on several threads; the session's lock serialises links.
#ifndef MEND_JIT_LINK_LINK_ENGINE_H_
#define MEND_JIT_LINK_LINK_ENGINE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/link/code_memory.h"
#include "jit/link/link_batch.h"
#include "llvm/ExecutionEngine/Orc/Core.h"
#include "runtime/base/address_space.h"

namespace mend::jit {

class LinkEngine {
 public:
  // `memory` must outlive the engine.
  static absl::StatusOr<std::unique_ptr<LinkEngine>> Create(CodeMemory* memory);
  ~LinkEngine();

  // The scope of a load. At its end nothing of the load's own may be left: not a graph, and nothing
  // that was filled while graphs were made and linked.
  class LoadScope {
   public:
    explicit LoadScope(LinkEngine* engine) : engine_(engine) {}
    ~LoadScope() { engine_->EndLoad(); }
    LoadScope(const LoadScope&) = delete;
    LoadScope& operator=(const LoadScope&) = delete;

   private:
    LinkEngine* const engine_;
  };

  // The graph of a relocatable object, whose bytes must stay where they are until it is linked.
  // RESOURCE_EXHAUSTED ("ENOMEM: ...") where the process may not map what a link takes: LLVM ends
  // the process when memory is refused in the middle of one.
  // `spare`: what is to be left besides.
  absl::StatusOr<GraphPtr> BuildGraph(const std::string& name, std::string_view object,
                                      size_t spare = kRequestAddressSpace);

  // Links all graphs, each completely; they see one another's symbols and nobody else's. Of several
  // definitions of a symbol one is left (ChooseDefinitions). On failure the message tells every
  // reason that JITLink gave. `threads`: how many graphs at a time. REQUIRES: in a LoadScope.
  absl::Status Link(std::vector<LinkJob> jobs, size_t threads = 1);

 private:
  class Load;

  void EndLoad();
  explicit LinkEngine(CodeMemory* memory) : memory_(memory) {}

  CodeMemory* const memory_;
  std::unique_ptr<llvm::orc::ExecutionSession> session_;
  llvm::orc::JITDylib* loads_ = nullptr;  // the session's
  uint64_t loads_made_ = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LINK_ENGINE_H_
