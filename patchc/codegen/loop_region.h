// LoopRegion: what becomes the body function of a loop (loop_bodies.h), and why a loop is left
// alone.
//
// The region is the loop's own blocks and its *dead ends*: code behind it that neither comes back
// to the loop nor to the function's caller (exit(), failed assertions, the clean-up before an
// exception goes on). Other functions' paths may share those, so the region gets copies of its own.
// An *exit* is a block behind the loop from which the function goes on.
//
// Works on IR as Clang makes it, before any optimisation: variables are allocas, and few other
// values live longer than an expression.
#ifndef MEND_PATCHC_CODEGEN_LOOP_REGION_H_
#define MEND_PATCHC_CODEGEN_LOOP_REGION_H_

#include <llvm/ADT/SetVector.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/BasicBlock.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/DebugLoc.h>
#include <llvm/IR/DebugProgramInstruction.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/Instructions.h>

#include <string>

namespace mend::patchc {

// What the loop's turns share with the function around it, and with each other.
struct LoopVariable {
  llvm::Value* value = nullptr;  // an alloca, an argument, or another value that stays as it is
  std::string meaning;           // equal texts: the same variable, of the same type
};

class LoopRegion {
 public:
  // `loop` is an outermost one. Nothing is changed.
  LoopRegion(llvm::Loop& loop, const llvm::LoopInfo& loops);

  llvm::Function& function() const { return *header_->getParent(); }
  llvm::BasicBlock* header() const { return header_; }
  // Whether nothing behind the loop goes on.
  bool is_endless() const { return exits_.empty(); }
  // Whether a turn does anything.
  bool is_empty() const;
  // Where the loop stands in its source.
  llvm::DebugLoc location() const;

  // Why the loop cannot be outlined; nullptr if nothing is known against it.
  const char* Obstacle() const;
  // Gives the region its own copies of the dead ends. REQUIRES: no obstacle.
  void OwnDeadEnds();
  // Sorts out what the turns share; nullptr, or an obstacle. REQUIRES: OwnDeadEnds.
  const char* FindVariables();

  const llvm::SetVector<llvm::BasicBlock*>& blocks() const { return blocks_; }  // header first
  const llvm::SetVector<llvm::BasicBlock*>& exits() const { return exits_; }
  const llvm::SmallVectorImpl<LoopVariable>& variables() const { return variables_; }
  // Allocas of which no turn needs what another left there, all of whose uses are in the region.
  const llvm::SmallVectorImpl<llvm::AllocaInst*>& of_a_turn() const { return of_a_turn_; }
  // Likewise, but code outside uses them too, as turns do, each for itself.
  const llvm::SmallVectorImpl<llvm::AllocaInst*>& of_everyone() const { return of_everyone_; }

 private:
  void FindExits(const llvm::LoopInfo& loops);
  const char* ObstacleIn(const llvm::BasicBlock& block) const;
  bool IsOfATurn(llvm::AllocaInst& variable, const llvm::DominatorTree& dominators) const;
  // The declaration of a variable that is in scope where the loop begins.
  const llvm::DbgVariableRecord* DeclarationInScope(llvm::Value& variable,
                                                    const llvm::DominatorTree& dominators) const;
  bool IsUsed(const llvm::Value& value) const;
  const char* AddValues();

  llvm::BasicBlock* const header_;
  bool has_handler_around_ = false;
  llvm::SetVector<llvm::BasicBlock*> blocks_;
  llvm::SetVector<llvm::BasicBlock*> dead_ends_;
  llvm::SetVector<llvm::BasicBlock*> exits_;
  llvm::SmallVector<LoopVariable, 16> variables_;
  llvm::SmallVector<llvm::AllocaInst*, 16> of_a_turn_;
  llvm::SmallVector<llvm::AllocaInst*, 2> of_everyone_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_LOOP_REGION_H_
