// LinkEngine: ORC, as far as it is used: an ExecutionSession in this process, to which each load is
// one materialization unit with one symbol that stands for all of it. The unit links graphs that
// the loaders have built and edited (link_batch.h). Nothing is compiled, nothing runs on threads of
// its own. ORC knows none of a program's names: the symbol index does.
//
// Thread safety: none; the session's lock serialises links.
#ifndef MEND_JIT_LINK_ENGINE_H_
#define MEND_JIT_LINK_ENGINE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/code_memory.h"
#include "jit/link_batch.h"
#include "llvm/ExecutionEngine/Orc/Core.h"

namespace mend::jit {

class LinkEngine {
 public:
  // `memory` must outlive the engine.
  static absl::StatusOr<std::unique_ptr<LinkEngine>> Create(CodeMemory* memory);
  ~LinkEngine();

  // The graph of a relocatable object, whose bytes must stay where they are until it is linked.
  // RESOURCE_EXHAUSTED ("ENOMEM: ...") where the process may not map what a link takes: LLVM ends
  // the process when memory is refused in the middle of one.
  absl::StatusOr<GraphPtr> BuildGraph(const std::string& name, std::string_view object);

  // Links all graphs, each completely; they see one another's symbols and nobody else's. On failure
  // the message tells every reason that JITLink gave.
  absl::Status Link(std::vector<LinkJob> jobs);

 private:
  class Load;

  absl::Status LinkAsOne(std::vector<LinkJob> jobs);
  explicit LinkEngine(CodeMemory* memory) : memory_(memory) {}

  CodeMemory* const memory_;
  std::unique_ptr<llvm::orc::ExecutionSession> session_;
  llvm::orc::JITDylib* loads_ = nullptr;  // the session's
  uint64_t loads_made_ = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_ENGINE_H_
