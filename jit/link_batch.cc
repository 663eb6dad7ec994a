#include "jit/link_batch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/scratch_memory.h"
#include "jit/status_conversion.h"

namespace mend::jit {

using llvm::jitlink::Linkage;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Scope;
using llvm::jitlink::Symbol;

namespace {

bool IsShared(const Symbol& symbol) {
  return symbol.hasName() && symbol.getScope() != Scope::Local;
}

// What others may ask for stays; the editors decide the rest.
llvm::Error KeepShared(LinkGraph& graph) {
  for (Symbol* symbol : graph.defined_symbols()) {
    if (symbol->getScope() != Scope::Local) symbol->setLive(true);
  }
  return llvm::Error::success();
}

}  // namespace

// One graph's view of the batch.
class LinkBatch::Context : public llvm::jitlink::JITLinkContext {
 public:
  Context(LinkBatch* batch, GraphEditor* editor)
      : JITLinkContext(nullptr), batch_(batch), editor_(editor) {}

  llvm::jitlink::JITLinkMemoryManager& getMemoryManager() override { return batch_->memory_; }

  llvm::jitlink::LinkGraphPassFunction getMarkLivePass(const llvm::Triple&) const override {
    return KeepShared;
  }

  llvm::Error modifyPassConfig(LinkGraph&, llvm::jitlink::PassConfiguration& passes) override {
    passes.PrePrunePasses.push_back(
        [this](LinkGraph& graph) { return editor_->BeforePrune(graph); });
    passes.PostFixupPasses.push_back(
        [this](LinkGraph& graph) { return editor_->AfterFixup(graph); });
    return llvm::Error::success();
  }

  llvm::Error notifyResolved(LinkGraph& graph) override {
    batch_->Define(graph);
    return llvm::Error::success();
  }

  void lookup(const LookupMap& wanted,
              std::unique_ptr<llvm::jitlink::JITLinkAsyncLookupContinuation> go_on) override {
    batch_->pending_.push_back({wanted, std::move(go_on)});
  }

  void notifyFinalized(llvm::jitlink::JITLinkMemoryManager::FinalizedAlloc allocation) override {
    // The memory belongs to the loader.
    (void)allocation.release();
  }

  void notifyFailed(llvm::Error error) override {
    batch_->Fail(std::string(ToStatus(std::move(error), "").message()));
  }

 private:
  LinkBatch* const batch_;
  GraphEditor* const editor_;
};

void LinkBatch::ChooseDefinitions(const std::vector<LinkJob>& jobs) {
  struct Definition {
    LinkGraph* graph = nullptr;
    Symbol* symbol = nullptr;
  };
  llvm::DenseMap<llvm::orc::SymbolStringPtr, Definition> chosen;
  for (const LinkJob& job : jobs) {
    std::vector<Symbol*> losers;
    for (Symbol* symbol : job.graph->defined_symbols()) {
      if (!IsShared(*symbol)) continue;
      const auto [it, is_first] =
          chosen.try_emplace(symbol->getName(), Definition{job.graph.get(), symbol});
      if (is_first) continue;
      Definition& earlier = it->second;
      if (symbol->getLinkage() == Linkage::Weak) {
        losers.push_back(symbol);
      } else if (earlier.symbol->getLinkage() == Linkage::Weak) {
        earlier.graph->makeExternal(*earlier.symbol);
        earlier = {job.graph.get(), symbol};
      } else {
        Fail(absl::StrCat("duplicate symbol: ", std::string(*symbol->getName())));
      }
    }
    for (Symbol* symbol : losers) job.graph->makeExternal(*symbol);
  }
}

void LinkBatch::Define(LinkGraph& graph) {
  const auto define = [this](const Symbol& symbol) {
    if (!IsShared(symbol)) return;
    defined_[symbol.getName()] = {symbol.getAddress(), llvm::JITSymbolFlags::Exported};
  };
  for (const Symbol* symbol : graph.defined_symbols()) define(*symbol);
  // What an editor found to be in memory already.
  for (const Symbol* symbol : graph.absolute_symbols()) define(*symbol);
}

void LinkBatch::Resolve(Pending pending) {
  llvm::jitlink::AsyncLookupResult found;
  std::vector<std::string> missing;
  for (const auto& [name, flags] : pending.wanted) {
    const auto it = defined_.find(name);
    if (it != defined_.end()) {
      found[name] = it->second;
    } else if (flags == llvm::jitlink::SymbolLookupFlags::RequiredSymbol) {
      missing.emplace_back(*name);
    }
  }
  if (missing.empty()) return pending.go_on->run(std::move(found));
  pending.go_on->run(ToError(
      absl::NotFoundError(absl::StrCat("symbols not found: ", absl::StrJoin(missing, ", ")))));
}

void LinkBatch::Fail(const std::string& reason) {
  absl::StrAppend(&failures_, failures_.empty() ? "" : "; ", reason);
}

absl::Status LinkBatch::Link(std::vector<LinkJob> jobs) {
  const ScratchScope scratch;
  ChooseDefinitions(jobs);
  for (LinkJob& job : jobs) {
    if (!failures_.empty()) break;
    editors_[job.graph.get()] = job.editor;
    llvm::jitlink::link(std::move(job.graph), std::make_unique<Context>(this, job.editor));
  }
  for (Pending& pending : pending_) {
    if (failures_.empty()) {
      Resolve(std::move(pending));
    } else {
      // Gives the graph up; its own report would repeat the reason.
      const std::string reasons = failures_;
      pending.go_on->run(ToError(absl::CancelledError("another object failed")));
      failures_ = reasons;
    }
  }
  if (failures_.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(failures_);
}

}  // namespace mend::jit
