#include "patchc/codegen/code_facts.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/CFG.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LLVMRemarkStreamer.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Remarks/Remark.h>
#include <llvm/Remarks/RemarkSerializer.h>
#include <llvm/Remarks/RemarkStreamer.h>
#include <llvm/Support/Error.h>
#include <llvm/Support/raw_ostream.h>

#include <memory>
#include <utility>

namespace mend::patchc {
namespace {

// The inliner says what it did in remarks, which a serializer is meant to write to a file.
class InlineRemarks : public llvm::remarks::RemarkSerializer {
 public:
  explicit InlineRemarks(CodeFacts* facts)
      : RemarkSerializer(llvm::remarks::Format::YAML, llvm::nulls()), facts_(facts) {}

  void emit(const llvm::remarks::Remark& remark) override {
    if (remark.RemarkType != llvm::remarks::Type::Passed) return;
    for (const llvm::remarks::Argument& argument : remark.Args) {
      if (argument.Key != "Callee") continue;
      facts_->inlined[remark.FunctionName.str()].insert(argument.Val.str());
    }
  }

  std::unique_ptr<llvm::remarks::MetaSerializer> metaSerializer(llvm::raw_ostream&,
                                                                llvm::StringRef) override {
    return nullptr;
  }

 private:
  CodeFacts* const facts_;
};

class ListenPass : public llvm::PassInfoMixin<ListenPass> {
 public:
  explicit ListenPass(CodeFacts* facts) : facts_(facts) {}

  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
    llvm::LLVMContext& context = module.getContext();
    // The user's flags may ask for a file of remarks.
    if (context.getMainRemarkStreamer() != nullptr) return llvm::PreservedAnalyses::all();
    auto streamer =
        std::make_unique<llvm::remarks::RemarkStreamer>(std::make_unique<InlineRemarks>(facts_));
    if (llvm::Error error = streamer->setFilter("inline")) {
      llvm::consumeError(std::move(error));
      (void)streamer->releaseSerializer();
      return llvm::PreservedAnalyses::all();
    }
    context.setMainRemarkStreamer(std::move(streamer));
    context.setLLVMRemarkStreamer(
        std::make_unique<llvm::LLVMRemarkStreamer>(*context.getMainRemarkStreamer()));
    return llvm::PreservedAnalyses::all();
  }
  static bool isRequired() { return true; }

 private:
  CodeFacts* const facts_;
};

class ConcludePass : public llvm::PassInfoMixin<ConcludePass> {
 public:
  explicit ConcludePass(CodeFacts* facts) : facts_(facts) {}

  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
    for (const llvm::Function& function : module) {
      if (!function.isDeclaration() && IsEndless(function)) {
        facts_->endless.insert(function.getName().str());
      }
    }
    llvm::LLVMContext& context = module.getContext();
    llvm::remarks::RemarkStreamer* const streamer = context.getMainRemarkStreamer();
    if (streamer != nullptr && !streamer->getFilename() &&
        &streamer->getStream() == &llvm::nulls()) {
      context.setLLVMRemarkStreamer(nullptr);
      (void)streamer->releaseSerializer();
      context.setMainRemarkStreamer(nullptr);
    }
    return llvm::PreservedAnalyses::all();
  }
  static bool isRequired() { return true; }

 private:
  // Failed assertions are no way out that anyone takes.
  static bool EndsTheProgram(const llvm::BasicBlock& block) {
    for (const llvm::Instruction& instruction : block) {
      const auto* const call = llvm::dyn_cast<llvm::CallBase>(&instruction);
      const llvm::Function* const callee = call == nullptr ? nullptr : call->getCalledFunction();
      if (callee == nullptr) continue;
      if (callee->getName() == "abort" || callee->getName() == "__assert_fail") return true;
    }
    return false;
  }

  static bool IsEndless(const llvm::Function& function) {
    for (const llvm::BasicBlock& block : function) {
      const llvm::Instruction* const last = block.getTerminator();
      if (llvm::isa<llvm::ReturnInst>(last) || llvm::isa<llvm::ResumeInst>(last)) return false;
      // Behind a call that does not come back, which may throw or jump.
      if (llvm::isa<llvm::UnreachableInst>(last) && !EndsTheProgram(block)) return false;
    }
    llvm::SmallVector<std::pair<const llvm::BasicBlock*, const llvm::BasicBlock*>, 8> edges;
    llvm::FindFunctionBackedges(function, edges);
    return !edges.empty();
  }

  CodeFacts* const facts_;
};

}  // namespace

void CollectCodeFacts(llvm::PassBuilder& builder, CodeFacts* facts) {
  builder.registerPipelineStartEPCallback(
      [facts](llvm::ModulePassManager& passes, llvm::OptimizationLevel) {
        passes.addPass(ListenPass(facts));
      });
  builder.registerOptimizerLastEPCallback(
      [facts](llvm::ModulePassManager& passes, llvm::OptimizationLevel, llvm::ThinOrFullLTOPhase) {
        passes.addPass(ConcludePass(facts));
      });
}

}  // namespace mend::patchc
