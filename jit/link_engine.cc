#include "jit/link_engine.h"

#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "jit/status_conversion.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"
#include "llvm/ExecutionEngine/Orc/TaskDispatch.h"
#include "llvm/Support/MemoryBufferRef.h"

namespace mend::jit {

using llvm::jitlink::LinkGraph;

// Runs ORC's tasks one after the other on the thread that links. In place, as ORC would by itself,
// each object that needs another would be linked deeper on the stack.
class LinkEngine::Dispatcher : public llvm::orc::TaskDispatcher {
 public:
  void dispatch(std::unique_ptr<llvm::orc::Task> task) override {
    tasks_.push_back(std::move(task));
  }
  void shutdown() override { tasks_.clear(); }

  void RunAll() {
    while (!tasks_.empty()) {
      const std::unique_ptr<llvm::orc::Task> task = std::move(tasks_.front());
      tasks_.pop_front();
      task->run();
    }
  }

 private:
  std::deque<std::unique_ptr<llvm::orc::Task>> tasks_;
};

// Hands each graph to its editor.
class LinkEngine::Plugin : public llvm::orc::ObjectLinkingLayer::Plugin {
 public:
  explicit Plugin(const GraphEditors* editors) : editors_(editors) {}

  void modifyPassConfig(llvm::orc::MaterializationResponsibility& /*responsibility*/,
                        LinkGraph& graph, llvm::jitlink::PassConfiguration& passes) override {
    const auto found = editors_->find(&graph);
    if (found == editors_->end()) return;
    GraphEditor* editor = found->second;
    passes.PrePrunePasses.push_back([editor](LinkGraph& g) { return editor->BeforePrune(g); });
    passes.PostFixupPasses.push_back([editor](LinkGraph& g) { return editor->AfterFixup(g); });
  }

  llvm::Error notifyFailed(llvm::orc::MaterializationResponsibility& /*unused*/) override {
    return llvm::Error::success();
  }
  llvm::Error notifyRemovingResources(llvm::orc::JITDylib& /*dylib*/,
                                      llvm::orc::ResourceKey /*key*/) override {
    return llvm::Error::success();
  }
  void notifyTransferringResources(llvm::orc::JITDylib& /*dylib*/, llvm::orc::ResourceKey /*to*/,
                                   llvm::orc::ResourceKey /*from*/) override {}

 private:
  const GraphEditors* const editors_;
};

absl::StatusOr<std::unique_ptr<LinkEngine>> LinkEngine::Create(CodeMemory* memory) {
  std::unique_ptr<LinkEngine> engine(new LinkEngine(memory));
  auto dispatcher = std::make_unique<Dispatcher>();
  engine->dispatcher_ = dispatcher.get();
  auto control = llvm::orc::SelfExecutorProcessControl::Create(nullptr, std::move(dispatcher));
  if (!control) return ToStatus(control.takeError(), "cannot start ORC");
  engine->session_ = std::make_unique<llvm::orc::ExecutionSession>(std::move(*control));
  engine->session_->setErrorReporter([self = engine.get()](llvm::Error error) {
    absl::StrAppend(&self->reported_, self->reported_.empty() ? "" : "; ",
                    ToStatus(std::move(error), "").message());
  });
  engine->layer_ =
      std::make_unique<llvm::orc::ObjectLinkingLayer>(*engine->session_, engine->link_memory_);
  engine->layer_->addPlugin(std::make_shared<Plugin>(&engine->editors_));
  return engine;
}

LinkEngine::~LinkEngine() {
  if (session_ != nullptr) llvm::consumeError(session_->endSession());
}

absl::StatusOr<GraphPtr> LinkEngine::BuildGraph(const std::string& name, std::string_view object) {
  auto graph = llvm::jitlink::createLinkGraphFromObject(
      llvm::MemoryBufferRef(llvm::StringRef(object.data(), object.size()), name),
      session_->getSymbolStringPool());
  if (!graph) return ToStatus(graph.takeError(), name);
  return std::move(*graph);
}

llvm::orc::JITDylib& LinkEngine::CreateNamespace(const std::string& name,
                                                 llvm::orc::JITDylib* parent) {
  llvm::orc::JITDylib& dylib =
      session_->createBareJITDylib(absl::StrCat(name, "#", ++graphs_linked_));
  if (parent != nullptr) {
    dylib.addToLinkOrder(*parent, llvm::orc::JITDylibLookupFlags::MatchAllSymbols);
  }
  return dylib;
}

void LinkEngine::RemoveNamespace(llvm::orc::JITDylib& dylib) {
  llvm::consumeError(session_->removeJITDylib(dylib));
}

absl::Status LinkEngine::Lookup(llvm::orc::JITDylib& dylib, llvm::orc::SymbolLookupSet symbols) {
  std::optional<absl::Status> result;
  session_->lookup(
      llvm::orc::LookupKind::Static, {{&dylib, llvm::orc::JITDylibLookupFlags::MatchAllSymbols}},
      std::move(symbols), llvm::orc::SymbolState::Ready,
      [&result](llvm::Expected<llvm::orc::SymbolMap> found) {
        result = found ? absl::OkStatus() : ToStatus(found.takeError(), "");
      },
      llvm::orc::NoDependenciesToRegister);
  dispatcher_->RunAll();
  if (!result) return absl::InternalError("the link stopped without an answer");
  return *result;
}

absl::Status LinkEngine::Link(llvm::orc::JITDylib& dylib, std::vector<LinkJob> jobs) {
  reported_.clear();
  const llvm::orc::ResourceTrackerSP tracker = dylib.createResourceTracker();
  llvm::orc::SymbolLookupSet markers;
  std::vector<const LinkGraph*> graphs;
  absl::Status status;
  for (LinkJob& job : jobs) {
    // ORC links what is asked for: each graph gets a symbol that stands for the whole of it.
    const llvm::orc::SymbolStringPtr marker =
        session_->intern(absl::StrCat("__mend_graph.", ++graphs_linked_));
    job.graph->addAbsoluteSymbol(marker, llvm::orc::ExecutorAddr(1), 0,
                                 llvm::jitlink::Linkage::Strong, llvm::jitlink::Scope::Default,
                                 /*IsLive=*/true);
    markers.add(marker);
    graphs.push_back(job.graph.get());
    editors_[job.graph.get()] = job.editor;
    status = ToStatus(layer_->add(tracker, std::move(job.graph)), "");
    if (!status.ok()) break;
  }
  if (status.ok()) status = Lookup(dylib, std::move(markers));
  for (const LinkGraph* graph : graphs) editors_.erase(graph);
  if (status.ok() && reported_.empty()) return status;
  llvm::consumeError(tracker->remove());
  dispatcher_->RunAll();
  // ORC's own summary only says which symbols failed; the report says why.
  return absl::FailedPreconditionError(reported_.empty() ? std::string(status.message())
                                                         : reported_);
}

}  // namespace mend::jit
