#include "patchc/codegen/poll.h"

#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/IR/CallingConv.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/ModRef.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include "patchc/codegen/thread_offset.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

bool MakesCall(const llvm::Loop& loop) {
  for (const llvm::BasicBlock* block : loop.blocks()) {
    for (const llvm::Instruction& instruction : *block) {
      const auto* call = llvm::dyn_cast<llvm::CallBase>(&instruction);
      if (call == nullptr || llvm::isa<llvm::IntrinsicInst>(call) || call->isInlineAsm()) continue;
      return true;
    }
  }
  return false;
}

// Innermost first, so that a loop around one that polls needs no poll of its own.
bool CollectLatches(const llvm::Loop& loop, llvm::ScalarEvolution& evolution,
                    llvm::SmallVectorImpl<llvm::BasicBlock*>& latches) {
  bool polls = false;
  for (const llvm::Loop* inner : loop.getSubLoops()) {
    polls |= CollectLatches(*inner, evolution, latches);
  }
  if (polls) return true;
  if (MakesCall(loop) || evolution.hasLoopInvariantBackedgeTakenCount(&loop)) return false;
  llvm::SmallVector<llvm::BasicBlock*, 4> own;
  loop.getLoopLatches(own);
  latches.append(own.begin(), own.end());
  return true;
}

llvm::FunctionCallee SlowPath(llvm::Module& module) {
  llvm::LLVMContext& context = module.getContext();
  llvm::FunctionCallee callee = module.getOrInsertFunction(
      kPollSlowPath, llvm::FunctionType::get(llvm::Type::getVoidTy(context), false));
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  if (function->hasFnAttribute(llvm::Attribute::Cold)) return callee;
  // Weak and hidden, so that an ordinary link of the object succeeds; the host defines it.
  function->setLinkage(llvm::GlobalValue::ExternalWeakLinkage);
  function->setVisibility(llvm::GlobalValue::HiddenVisibility);
  function->setCallingConv(llvm::CallingConv::PreserveAll);
  function->addFnAttr(llvm::Attribute::Cold);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->addFnAttr(llvm::Attribute::WillReturn);
  function->setMemoryEffects(llvm::MemoryEffects::inaccessibleMemOnly());
  return callee;
}

void InsertPoll(llvm::BasicBlock* latch) {
  llvm::Module& module = *latch->getModule();
  llvm::LLVMContext& context = module.getContext();
  llvm::Instruction* end = latch->getTerminator();
  llvm::IRBuilder<> builder(end);
  llvm::GlobalVariable* poll = ThreadOffsetSymbol(module, kPollName, builder.getInt8Ty());
  llvm::LoadInst* flag = builder.CreateLoad(
      builder.getInt8Ty(), builder.CreateThreadLocalAddress(poll), /*isVolatile=*/true);
  llvm::Value* armed = builder.CreateICmpNE(flag, builder.getInt8(0));
  llvm::Instruction* cold = llvm::SplitBlockAndInsertIfThen(
      armed, end, /*Unreachable=*/false, llvm::MDBuilder(context).createUnlikelyBranchWeights());
  builder.SetInsertPoint(cold);
  builder.SetCurrentDebugLocation(end->getDebugLoc());
  llvm::CallInst* call = builder.CreateCall(SlowPath(module));
  call->setCallingConv(llvm::CallingConv::PreserveAll);
}

}  // namespace

llvm::PreservedAnalyses PollPass::run(llvm::Function& function,
                                      llvm::FunctionAnalysisManager& analyses) {
  if (function.hasFnAttribute(llvm::Attribute::Naked) ||
      function.getCallingConv() == llvm::CallingConv::X86_INTR) {
    return llvm::PreservedAnalyses::all();
  }
  const llvm::LoopInfo& loops = analyses.getResult<llvm::LoopAnalysis>(function);
  if (loops.empty()) return llvm::PreservedAnalyses::all();
  llvm::ScalarEvolution& evolution = analyses.getResult<llvm::ScalarEvolutionAnalysis>(function);
  llvm::SmallVector<llvm::BasicBlock*, 8> latches;
  for (const llvm::Loop* loop : loops) CollectLatches(*loop, evolution, latches);
  if (latches.empty()) return llvm::PreservedAnalyses::all();
  llvm::SmallPtrSet<llvm::BasicBlock*, 8> done;
  for (llvm::BasicBlock* latch : latches) {
    if (done.insert(latch).second) InsertPoll(latch);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
