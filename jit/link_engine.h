// LinkEngine: ORC, as far as it is used: an ExecutionSession in this process whose
// ObjectLinkingLayer links graphs that the loaders have built and edited. Nothing is compiled,
// nothing runs on threads of its own, nothing is linked before it is asked for.
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
#include "jit/graph_editor.h"
#include "jit/link_memory.h"
#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/ExecutionEngine/Orc/SymbolStringPool.h"

namespace mend::jit {

using GraphPtr = std::unique_ptr<llvm::jitlink::LinkGraph>;

struct LinkJob {
  GraphPtr graph;
  GraphEditor* editor = nullptr;
};

class LinkEngine {
 public:
  // `memory` must outlive the engine.
  static absl::StatusOr<std::unique_ptr<LinkEngine>> Create(CodeMemory* memory);
  ~LinkEngine();

  // The graph of a relocatable object, whose bytes must stay where they are until it is linked.
  absl::StatusOr<GraphPtr> BuildGraph(const std::string& name, std::string_view object);

  // A name space whose graphs see one another's symbols, then those of `parent` (if any).
  llvm::orc::JITDylib& CreateNamespace(const std::string& name, llvm::orc::JITDylib* parent);
  void RemoveNamespace(llvm::orc::JITDylib& dylib);

  // Links all graphs, each completely. On failure none of their symbols is defined, and the message
  // tells every reason that JITLink gave.
  absl::Status Link(llvm::orc::JITDylib& dylib, std::vector<LinkJob> jobs);

 private:
  class Dispatcher;
  class Plugin;

  explicit LinkEngine(CodeMemory* memory) : link_memory_(memory, &editors_) {}
  absl::Status Lookup(llvm::orc::JITDylib& dylib, llvm::orc::SymbolLookupSet symbols);

  GraphEditors editors_;
  LinkMemory link_memory_;
  Dispatcher* dispatcher_ = nullptr;  // owned by the session
  std::unique_ptr<llvm::orc::ExecutionSession> session_;
  std::unique_ptr<llvm::orc::ObjectLinkingLayer> layer_;
  std::string reported_;  // what ORC reported during the current link
  uint64_t graphs_linked_ = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_ENGINE_H_
