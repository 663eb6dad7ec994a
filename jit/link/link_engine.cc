#include "jit/link/link_engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "jit/link/scratch_memory.h"
#include "jit/link/status_conversion.h"
#include "llvm/ExecutionEngine/Orc/MaterializationUnit.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"
#include "llvm/ExecutionEngine/Orc/TaskDispatch.h"
#include "llvm/Support/MemoryBufferRef.h"

namespace mend::jit {

namespace {

// LLVM's graph and our tables, for each byte of an object, about.
constexpr size_t kBytesPerByte = 24;

}  // namespace

// A load, as ORC sees it.
class LinkEngine::Load : public llvm::orc::MaterializationUnit {
 public:
  // Both outlive the lookup that materializes the unit.
  Load(llvm::orc::SymbolStringPtr symbol, LinkBatch* batch, std::vector<LinkJob>* jobs,
       absl::Status* result)
      : MaterializationUnit(Interface({{symbol, llvm::JITSymbolFlags::Exported}}, nullptr)),
        symbol_(std::move(symbol)),
        batch_(batch),
        jobs_(jobs),
        result_(result) {}

  llvm::StringRef getName() const override { return "load"; }

  void materialize(
      std::unique_ptr<llvm::orc::MaterializationResponsibility> responsibility) override {
    *result_ = batch_->Link(std::move(*jobs_));
    // The symbol stands for a state, not for a place.
    const llvm::orc::ExecutorSymbolDef done(llvm::orc::ExecutorAddr(1),
                                            llvm::JITSymbolFlags::Exported);
    if (result_->ok()) {
      *result_ = ToStatus(responsibility->notifyResolved({{symbol_, done}}), "");
    }
    if (result_->ok()) *result_ = ToStatus(responsibility->notifyEmitted({}), "");
    if (!result_->ok()) responsibility->failMaterialization();
  }

  void discard(const llvm::orc::JITDylib&, const llvm::orc::SymbolStringPtr&) override {}

 private:
  const llvm::orc::SymbolStringPtr symbol_;
  LinkBatch* const batch_;
  std::vector<LinkJob>* const jobs_;
  absl::Status* const result_;
};

absl::StatusOr<std::unique_ptr<LinkEngine>> LinkEngine::Create(CodeMemory* memory) {
  std::unique_ptr<LinkEngine> engine(new LinkEngine(memory));
  auto control = llvm::orc::SelfExecutorProcessControl::Create(
      nullptr, std::make_unique<llvm::orc::InPlaceTaskDispatcher>());
  if (!control) return ToStatus(control.takeError(), "cannot start ORC");
  engine->session_ = std::make_unique<llvm::orc::ExecutionSession>(std::move(*control));
  // ORC's own report only says which symbol failed; the batch says why.
  engine->session_->setErrorReporter(
      [](llvm::Error error) { llvm::consumeError(std::move(error)); });
  engine->loads_ = &engine->session_->createBareJITDylib("loads");
  return engine;
}

LinkEngine::~LinkEngine() {
  if (session_ != nullptr) llvm::consumeError(session_->endSession());
}

absl::StatusOr<GraphPtr> LinkEngine::BuildGraph(const std::string& name, std::string_view object,
                                                size_t spare) {
  absl::Status may_map =
      CheckAddressSpace(spare + kBytesPerByte * object.size(), absl::StrCat("linking ", name));
  if (!may_map.ok()) return may_map;
  auto graph = llvm::jitlink::createLinkGraphFromObject(
      llvm::MemoryBufferRef(llvm::StringRef(object.data(), object.size()), name),
      session_->getSymbolStringPool());
  if (!graph) return ToStatus(graph.takeError(), name);
  return std::move(*graph);
}

void LinkEngine::EndLoad() {
  // The names of what was linked, which nobody holds any more.
  session_->getSymbolStringPool()->clearDeadEntries();
  ReleaseScratchMemory();
}

absl::Status LinkEngine::Link(std::vector<LinkJob> jobs, size_t threads) {
  LinkBatch batch(memory_, threads);
  absl::Status result = absl::InternalError("the link stopped without an answer");
  const llvm::orc::SymbolStringPtr symbol =
      session_->intern(absl::StrCat("__mend_load.", ++loads_made_));
  const llvm::orc::ResourceTrackerSP tracker = loads_->createResourceTracker();
  absl::Status defined =
      ToStatus(loads_->define(std::make_unique<Load>(symbol, &batch, &jobs, &result), tracker), "");
  if (!defined.ok()) return defined;
  auto found = session_->lookup({loads_}, symbol);
  // It was asked for once, and stands for memory that ORC does not manage.
  llvm::consumeError(tracker->remove());
  if (!found && result.ok()) return ToStatus(found.takeError(), "");
  llvm::consumeError(found.takeError());
  return result;
}

}  // namespace mend::jit
