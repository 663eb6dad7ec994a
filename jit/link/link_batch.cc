#include "jit/link/link_batch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/link/parallel_for.h"
#include "jit/link/scratch_memory.h"
#include "jit/link/status_conversion.h"
#include "jit/link/unwind_records.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/DWARFRecordSectionSplitter.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {

namespace x86_64 = llvm::jitlink::x86_64;
using llvm::jitlink::Edge;
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

// Branches to what the batch links: all hosted code lies within reach (code_memory.h), so they need
// no stub. A reference that may stay without a definition does.
struct BranchesWithinReach {
  static bool visitEdge(LinkGraph& /*graph*/, llvm::jitlink::Block* /*block*/, const Edge& edge) {
    const Symbol& target = edge.getTarget();
    return edge.getKind() == x86_64::BranchPCRel32 && target.isExternal() &&
           !target.isWeaklyReferenced();
  }
};

llvm::Error BuildTables(LinkGraph& graph) {
  BranchesWithinReach within_reach;
  x86_64::GOTTableManager offsets(graph);
  x86_64::PLTTableManager stubs(graph, offsets);
  llvm::jitlink::visitExistingEdges(graph, within_reach, offsets, stubs);
  return llvm::Error::success();
}

}  // namespace

// One graph's view of the batch.
class LinkBatch::Context : public llvm::jitlink::JITLinkContext {
 public:
  Context(LinkBatch* batch, size_t number, GraphEditor* editor)
      : JITLinkContext(nullptr), batch_(batch), number_(number), editor_(editor) {}

  llvm::jitlink::JITLinkMemoryManager& getMemoryManager() override { return batch_->memory_; }

  // JITLink's own for x86-64, but for those that modifyPassConfig has in another form.
  bool shouldAddDefaultTargetPasses(const llvm::Triple& /*target*/) const override { return false; }

  llvm::Error modifyPassConfig(LinkGraph& /*graph*/,
                               llvm::jitlink::PassConfiguration& passes) override {
    passes.PrePrunePasses.push_back(llvm::jitlink::DWARFRecordSectionSplitter(kUnwindSection));
    passes.PrePrunePasses.push_back(ConnectUnwindRecords);
    passes.PrePrunePasses.push_back(KeepShared);
    passes.PrePrunePasses.push_back(
        [this](LinkGraph& graph) { return editor_->BeforePrune(graph); });
    passes.PostPrunePasses.push_back(BuildTables);
    passes.PreFixupPasses.push_back(x86_64::optimizeGOTAndStubAccesses);
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
    batch_->pending_[number_] = {wanted, std::move(go_on)};
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
  const size_t number_;
  GraphEditor* const editor_;
};

absl::Status ChooseDefinitions(const std::vector<LinkJob>& jobs) {
  struct Definition {
    LinkGraph* graph = nullptr;
    Symbol* symbol = nullptr;
  };
  llvm::DenseMap<llvm::orc::SymbolStringPtr, Definition> chosen;
  std::vector<std::string> duplicates;
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
        duplicates.push_back(absl::StrCat("duplicate symbol: ", std::string(*symbol->getName())));
      }
    }
    for (Symbol* symbol : losers) job.graph->makeExternal(*symbol);
  }
  if (duplicates.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrJoin(duplicates, "; "));
}

void LinkBatch::Define(LinkGraph& graph) {
  std::vector<const Symbol*> symbols;
  for (const Symbol* symbol : graph.defined_symbols()) {
    if (IsShared(*symbol)) symbols.push_back(symbol);
  }
  // What an editor found to be in memory already.
  for (const Symbol* symbol : graph.absolute_symbols()) {
    if (IsShared(*symbol)) symbols.push_back(symbol);
  }
  const MutexLock lock(&mu_);
  for (const Symbol* symbol : symbols) {
    defined_[symbol->getName()] = {symbol->getAddress(), llvm::JITSymbolFlags::Exported};
  }
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
  if (gives_up_) return;  // the reason has been told
  const MutexLock lock(&mu_);
  absl::StrAppend(&failures_, failures_.empty() ? "" : "; ", reason);
}

bool LinkBatch::HasFailed() {
  const MutexLock lock(&mu_);
  return !failures_.empty();
}

absl::Status LinkBatch::Link(std::vector<LinkJob> jobs) {
  const ScratchScope scratch;
  for (const LinkJob& job : jobs) memory_.Add(job.graph.get(), job.editor);
  pending_.resize(jobs.size());
  ParallelFor(threads_, jobs.size(), [this, &jobs](size_t i) {
    if (HasFailed()) return;
    llvm::jitlink::link(std::move(jobs[i].graph),
                        std::make_unique<Context>(this, i, jobs[i].editor));
  });
  if (!HasFailed()) {
    if (absl::Status placed = memory_.Place(); !placed.ok()) Fail(std::string(placed.message()));
  }
  gives_up_ = HasFailed();
  ParallelFor(threads_, jobs.size(), [this](size_t i) { memory_.GoOn(i, !gives_up_); });
  gives_up_ = HasFailed();
  ParallelFor(threads_, pending_.size(), [this](size_t i) {
    if (pending_[i].go_on == nullptr) return;
    if (gives_up_) {
      pending_[i].go_on->run(ToError(absl::CancelledError("another object failed")));
    } else {
      Resolve(std::move(pending_[i]));
    }
  });
  const MutexLock lock(&mu_);
  if (failures_.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(failures_);
}

}  // namespace mend::jit
