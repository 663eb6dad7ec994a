#include "patchc/codegen/loop_bodies.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Demangle/Demangle.h>
#include <llvm/IR/DebugInfo.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include "absl/strings/str_cat.h"
#include "patchc/codegen/loop_outliner.h"

namespace mend::patchc {
namespace {

std::string ShownName(const llvm::Function& function) {
  const llvm::DISubprogram* const subprogram = function.getSubprogram();
  return (subprogram != nullptr ? subprogram->getName() : function.getName()).str();
}

bool IsNamed(const llvm::Function& function, const LoopFlags& flags) {
  if (flags.functions.empty()) return false;
  if (flags.functions.contains("*")) return true;
  const std::string demangled = llvm::demangle(function.getName().str());
  return flags.functions.contains(function.getName().str()) ||
         flags.functions.contains(ShownName(function)) ||
         flags.functions.contains(demangled.substr(0, demangled.find('(')));
}

llvm::SmallVector<llvm::Loop*, 4> OutermostLoops(llvm::Function& function,
                                                 const llvm::LoopInfo& loops) {
  llvm::SmallVector<llvm::Loop*, 4> outermost;
  for (llvm::BasicBlock& block : function) {
    llvm::Loop* const loop = loops.getLoopFor(&block);
    if (loop != nullptr && loop->isOutermost() && loop->getHeader() == &block) {
      outermost.push_back(loop);
    }
  }
  return outermost;
}

std::string InterfaceOf(const LoopRegion& region) {
  std::string text;
  for (const llvm::BasicBlock* exit : region.exits()) {
    absl::StrAppend(&text, "to ", exit->getName().rtrim("0123456789").str(), "\n");
  }
  for (const LoopVariable& variable : region.variables()) {
    absl::StrAppend(&text, variable.meaning, "\n");
  }
  return text;
}

// A mistake here would be a wrong program.
void CheckResult(llvm::Function& outer, llvm::Function& body) {
  std::string errors;
  llvm::raw_string_ostream stream(errors);
  const bool broken = llvm::verifyFunction(outer, &stream);
  if (llvm::verifyFunction(body, &stream) || broken) {
    outer.getContext().emitError("internal error: -fmend-loops broke '" + outer.getName() +
                                 "': " + errors);
  }
}

}  // namespace

llvm::PreservedAnalyses LoopBodiesPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  if (!options_->flags.enabled) return llvm::PreservedAnalyses::all();
  llvm::SmallVector<llvm::Function*, 64> functions;
  for (llvm::Function& function : module) {
    if (!function.isDeclarationForLinker()) functions.push_back(&function);
  }
  for (llvm::Function* function : functions) OutlineLoopsOf(*function);
  ForgetWhatWasAdded(module);
  return llvm::PreservedAnalyses::none();
}

void LoopBodiesPass::OutlineLoopsOf(llvm::Function& function) {
  const bool is_named = IsNamed(function, options_->flags);
  llvm::SmallPtrSet<llvm::BasicBlock*, 8> seen;
  size_t bodies = 0;
  bool changed = true;
  while (changed) {
    changed = false;
    const llvm::DominatorTree dominators(function);
    const llvm::LoopInfo loops(dominators);
    for (llvm::Loop* loop : OutermostLoops(function, loops)) {
      llvm::BasicBlock* const header = loop->getHeader();
      if (!seen.insert(header).second) continue;
      LoopRegion region(*loop, loops);
      if (region.is_empty() || !(is_named || region.is_endless())) continue;
      changed = true;
      if (OutlineOne(region, bodies)) {
        ++bodies;
        // The loop of calls has a header of its own, which leads nowhere else.
        for (llvm::BasicBlock& block : function) {
          if (block.getName().starts_with(kTurnBlock)) seen.insert(&block);
        }
      }
      break;
    }
  }
}

bool LoopBodiesPass::OutlineOne(LoopRegion& region, size_t index) {
  llvm::Function& outer = region.function();
  const llvm::DebugLoc place = region.location();
  const char* obstacle = region.Obstacle();
  if (obstacle == nullptr) {
    region.OwnDeadEnds();
    obstacle = region.FindVariables();
  }
  const std::string shown = ShownName(outer);
  if (obstacle != nullptr) {
    const std::string where = place ? absl::StrCat(place->getFilename().str(), ":", place.getLine())
                                    : outer.getParent()->getSourceFileName();
    notes_->push_back(absl::StrCat(where, ": the loop in '", shown,
                                   "' takes no patches while it runs: ", obstacle));
    return false;
  }
  const std::string name = NameOfLoopBody(outer.getName().str(), index, InterfaceOf(region));
  llvm::Function* const body = OutlineLoop(region, name, absl::StrCat(shown, ".loop.", index));
  CheckResult(outer, *body);
  return true;
}

void LoopBodiesPass::ForgetWhatWasAdded(llvm::Module& module) const {
  if (options_->forget_lifetimes) {
    for (llvm::Function& function : module) {
      for (llvm::Instruction& instruction :
           llvm::make_early_inc_range(llvm::instructions(function))) {
        if (instruction.isLifetimeStartOrEnd()) instruction.eraseFromParent();
      }
    }
  }
  if (options_->forget_lines) {
    llvm::StripDebugInfo(module);
  } else if (options_->forget_variables) {
    llvm::stripNonLineTableDebugInfo(module);
  }
}

}  // namespace mend::patchc
