#include "patchc/codegen/loop_region.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/IR/CFG.h>
#include <llvm/IR/DebugInfo.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Utils/ValueMapper.h>

#include "absl/strings/str_cat.h"
#include "patchc/codegen/variable_type.h"

namespace mend::patchc {
namespace {

using Blocks = llvm::SetVector<llvm::BasicBlock*>;

// What Clang keeps in memory while it evaluates one expression, or one way out of a scope. None of
// these outlives a turn; what does (a compound literal of C, say) is not in the list, nor is what
// has a declaration.
constexpr llvm::StringLiteral kTemporaries[] = {"agg-temp",
                                                "agg.tmp",
                                                "agg.tmp.ensured",
                                                "atomic-temp",
                                                "byval-temp",
                                                "cleanup.cond",
                                                "cleanup.dest.slot",
                                                "cleanup.isactive",
                                                "coerce",
                                                "cond-cleanup.save",
                                                "ehselector.slot",
                                                "exn.byref.tmp",
                                                "exn.slot",
                                                "indirect-arg-temp",
                                                "nrvo",
                                                "ref.tmp",
                                                "tmp",
                                                "tmp.coerce",
                                                "undef.agg.tmp",
                                                "vaarg.tmp"};

// Written where an exception lands and read until it has been dealt with.
constexpr llvm::StringLiteral kExceptionSlots[] = {"exn.slot", "ehselector.slot"};

// The name that Clang gave a value, without the number that makes it unique.
llvm::StringRef StemOf(const llvm::Value& value) { return value.getName().rtrim("0123456789"); }

// Whether it is a variable of the source's.
bool IsDeclared(llvm::Value& value) {
  llvm::SmallVector<llvm::DbgVariableRecord*, 2> records;
  llvm::findDbgUsers(&value, records);
  return !records.empty();
}

// All blocks that can be reached from `start`; empty if one of them returns, is in a loop, or leads
// into `loop`.
Blocks DeadEndFrom(llvm::BasicBlock* start, const Blocks& loop, const llvm::LoopInfo& loops) {
  Blocks reached;
  reached.insert(start);
  for (size_t i = 0; i < reached.size(); ++i) {
    llvm::BasicBlock* const block = reached[i];
    const bool goes_on = llvm::isa<llvm::ReturnInst>(block->getTerminator());
    if (goes_on || loops.getLoopFor(block) != nullptr || loop.contains(block)) return {};
    for (llvm::BasicBlock* next : llvm::successors(block)) reached.insert(next);
  }
  return reached;
}

bool DealsWithException(const llvm::BasicBlock& block) {
  if (block.isEHPad() || llvm::isa<llvm::ResumeInst>(block.getTerminator())) return true;
  return llvm::any_of(block, [](const llvm::Instruction& instruction) {
    const auto* const call = llvm::dyn_cast<llvm::CallBase>(&instruction);
    const llvm::Function* const callee = call == nullptr ? nullptr : call->getCalledFunction();
    return callee != nullptr && (callee->getIntrinsicID() == llvm::Intrinsic::eh_typeid_for ||
                                 callee->getName() == "__cxa_begin_catch");
  });
}

// Whether `start` goes on with an exception that has landed before it.
bool IsHandler(llvm::BasicBlock* start) {
  Blocks reached;
  reached.insert(start);
  for (size_t i = 0; i < reached.size(); ++i) {
    if (DealsWithException(*reached[i])) return true;
    // What a call throws lands behind it.
    if (const auto* invoke = llvm::dyn_cast<llvm::InvokeInst>(reached[i]->getTerminator())) {
      reached.insert(invoke->getNormalDest());
      continue;
    }
    for (llvm::BasicBlock* next : llvm::successors(reached[i])) reached.insert(next);
  }
  return false;
}

bool DependsOnItsFrame(llvm::Intrinsic::ID id) {
  switch (id) {
    case llvm::Intrinsic::addressofreturnaddress:
    case llvm::Intrinsic::eh_dwarf_cfa:
    case llvm::Intrinsic::eh_return_i32:
    case llvm::Intrinsic::eh_return_i64:
    case llvm::Intrinsic::eh_unwind_init:
    case llvm::Intrinsic::frameaddress:
    case llvm::Intrinsic::localaddress:
    case llvm::Intrinsic::localescape:
    case llvm::Intrinsic::returnaddress:
    case llvm::Intrinsic::sponentry:
      return true;
    default:
      return false;
  }
}

const char* ObstacleInCall(const llvm::CallBase& call) {
  if (call.isMustTailCall()) return "it has a call that must be a tail call";
  switch (call.getIntrinsicID()) {
    case llvm::Intrinsic::vastart:
      return "it reads the function's variable arguments (va_start)";
    case llvm::Intrinsic::stacksave:
    case llvm::Intrinsic::stackrestore:
      return "it has an array of variable length";
    default:
      break;
  }
  if (DependsOnItsFrame(call.getIntrinsicID())) return "it asks for the function's own frame";
  const bool has_bundles =
      call.hasOperandBundles() && call.getIntrinsicID() != llvm::Intrinsic::assume;
  for (const llvm::Attribute::AttrKind kind :
       {llvm::Attribute::SwiftSelf, llvm::Attribute::SwiftError, llvm::Attribute::SwiftAsync,
        llvm::Attribute::InAlloca, llvm::Attribute::Preallocated}) {
    if (call.getAttributes().hasAttrSomewhere(kind)) return "it has a call of a special kind";
  }
  return has_bundles ? "it has a call of a special kind" : nullptr;
}

const char* ObstacleInInstruction(const llvm::Instruction& instruction) {
  if (llvm::isa<llvm::AllocaInst>(instruction)) {
    return "it allocates memory that lasts until the function returns (alloca)";
  }
  if (instruction.getType()->isTokenTy()) return "it has values that cannot be passed on";
  if (const auto* call = llvm::dyn_cast<llvm::CallBase>(&instruction)) return ObstacleInCall(*call);
  return nullptr;
}

bool IsKnownEnd(const llvm::Instruction& end) {
  return llvm::isa<llvm::BranchInst, llvm::SwitchInst, llvm::InvokeInst, llvm::UnreachableInst,
                   llvm::ResumeInst>(end);
}

const char* ObstacleInFunction(const llvm::Function& function) {
  if (function.getSubprogram() == nullptr) {
    return "its function has no description of its variables (nodebug, or LLVM IR as a source)";
  }
  if (function.hasFnAttribute(llvm::Attribute::Naked)) return "its function is naked";
  if (function.isPresplitCoroutine()) return "its function is a coroutine";
  if (function.hasSection()) return "its function is in a section by name and cannot be patched";
  if (function.callsFunctionThatReturnsTwice()) return "its function calls setjmp or its like";
  const bool is_kept =
      !function.hasComdat() || function.hasLinkOnceODRLinkage() || function.hasWeakODRLinkage();
  return is_kept ? nullptr : "another definition of its function may take its place";
}

const llvm::DILocalScope* ScopeAround(const llvm::DILocalScope& scope) {
  const auto* const block = llvm::dyn_cast<llvm::DILexicalBlockBase>(&scope);
  return block == nullptr ? nullptr : block->getScope()->getNonLexicalBlockFileScope();
}

bool IsAround(const llvm::DILocalScope& outer, const llvm::DILocalScope* inner) {
  while (inner != nullptr && inner != &outer) inner = ScopeAround(*inner);
  return inner != nullptr;
}

size_t DepthOf(const llvm::DILocalScope* scope) {
  size_t depth = 0;
  while ((scope = ScopeAround(*scope)) != nullptr) ++depth;
  return depth;
}

std::string MeaningOf(llvm::Value& value, const llvm::DbgVariableRecord* declaration) {
  std::string text;
  if (declaration != nullptr) {
    const llvm::DILocalVariable& variable = *declaration->getVariable();
    const llvm::DILocalScope* const scope = variable.getScope()->getNonLexicalBlockFileScope();
    text = absl::StrCat(variable.getName().str(), " ", DepthOf(scope), " ",
                        EncodeSourceType(variable.getType()), " ",
                        declaration->getExpression()->getNumElements());
  } else {
    text = StemOf(value).str();
  }
  if (const auto* variable = llvm::dyn_cast<llvm::AllocaInst>(&value)) {
    absl::StrAppend(&text, " in ", EncodeIrType(variable->getAllocatedType()), " ",
                    variable->getAlign().value());
  } else {
    absl::StrAppend(&text, " is ", EncodeIrType(value.getType()));
  }
  return text;
}

}  // namespace

LoopRegion::LoopRegion(llvm::Loop& loop, const llvm::LoopInfo& loops) : header_(loop.getHeader()) {
  blocks_.insert(header_);
  for (llvm::BasicBlock& block : *header_->getParent()) {
    if (loop.contains(&block)) blocks_.insert(&block);
  }
  FindExits(loops);
}

void LoopRegion::FindExits(const llvm::LoopInfo& loops) {
  for (llvm::BasicBlock* block : blocks_) {
    for (llvm::BasicBlock* next : llvm::successors(block)) {
      if (blocks_.contains(next) || dead_ends_.contains(next)) continue;
      const Blocks dead_end = DeadEndFrom(next, blocks_, loops);
      dead_ends_.insert(dead_end.begin(), dead_end.end());
      if (!dead_end.empty()) continue;
      if (IsHandler(next)) {
        has_handler_around_ = true;
      } else {
        exits_.insert(next);
      }
    }
  }
}

bool LoopRegion::is_empty() const {
  return llvm::all_of(blocks_, [](const llvm::BasicBlock* block) {
    return llvm::all_of(*block, [](const llvm::Instruction& instruction) {
      return llvm::isa<llvm::BranchInst>(instruction);
    });
  });
}

llvm::DebugLoc LoopRegion::location() const {
  for (const llvm::BasicBlock* block : blocks_) {
    for (const llvm::Instruction& instruction : *block) {
      if (instruction.getDebugLoc() && !instruction.getDebugLoc()->getInlinedAt()) {
        return instruction.getDebugLoc();
      }
    }
  }
  llvm::DISubprogram* const subprogram = function().getSubprogram();
  if (subprogram == nullptr) return {};
  return llvm::DILocation::get(function().getContext(), subprogram->getLine(), 0, subprogram);
}

const char* LoopRegion::Obstacle() const {
  if (const char* obstacle = ObstacleInFunction(function())) return obstacle;
  if (has_handler_around_) return "an exception leaves it for a handler around it";
  for (const Blocks* part : {&blocks_, &dead_ends_}) {
    for (const llvm::BasicBlock* block : *part) {
      if (const char* obstacle = ObstacleIn(*block)) return obstacle;
    }
  }
  const bool has_values = !header_->phis().empty() ||
                          llvm::any_of(exits_, [](auto* exit) { return !exit->phis().empty(); });
  return has_values ? "a value that is no variable leaves a turn" : nullptr;
}

const char* LoopRegion::ObstacleIn(const llvm::BasicBlock& block) const {
  if (block.hasAddressTaken()) return "the address of a label in it is taken";
  if (!IsKnownEnd(*block.getTerminator())) return "it has jumps of a special kind";
  if (block.isEHPad() && !block.isLandingPad()) return "it has handlers of a special kind";
  for (const llvm::Instruction& instruction : block) {
    if (const char* obstacle = ObstacleInInstruction(instruction)) return obstacle;
  }
  return nullptr;
}

void LoopRegion::OwnDeadEnds() {
  llvm::ValueToValueMapTy copies;
  llvm::SmallVector<llvm::BasicBlock*, 16> copied;
  for (llvm::BasicBlock* block : dead_ends_) {
    llvm::BasicBlock* const copy = llvm::CloneBasicBlock(block, copies, "", &function());
    copies[block] = copy;
    copied.push_back(copy);
  }
  llvm::remapInstructionsInBlocks(copied, copies);
  for (llvm::BasicBlock* block : blocks_) {
    llvm::Instruction* const end = block->getTerminator();
    for (unsigned i = 0; i < end->getNumSuccessors(); ++i) {
      llvm::BasicBlock* const next = end->getSuccessor(i);
      if (!dead_ends_.contains(next)) continue;
      // The phis of the copy have the edge, too.
      next->removePredecessor(block, /*KeepOneInputPHIs=*/true);
      end->setSuccessor(i, llvm::cast<llvm::BasicBlock>(copies[next]));
    }
  }
  blocks_.insert(copied.begin(), copied.end());
  for (llvm::BasicBlock* copy : copied) {
    for (llvm::PHINode& phi : copy->phis()) {
      phi.removeIncomingValueIf(
          [&](unsigned i) { return !blocks_.contains(phi.getIncomingBlock(i)); },
          /*DeletePHIIfEmpty=*/false);
    }
  }
  dead_ends_.clear();
  llvm::EliminateUnreachableBlocks(function());
}

bool LoopRegion::IsUsed(const llvm::Value& value) const {
  return llvm::any_of(value.users(), [this](const llvm::User* user) {
    const auto* const instruction = llvm::cast<llvm::Instruction>(user);
    return !instruction->isLifetimeStartOrEnd() &&
           blocks_.contains(const_cast<llvm::BasicBlock*>(instruction->getParent()));
  });
}

bool LoopRegion::IsOfATurn(llvm::AllocaInst& variable,
                           const llvm::DominatorTree& dominators) const {
  if (variable.use_empty()) return false;
  llvm::SmallVector<const llvm::Instruction*, 4> begins;
  bool has_lifetime = false;
  for (const llvm::User* user : variable.users()) {
    const auto* const instruction = llvm::cast<llvm::Instruction>(user);
    if (!blocks_.contains(const_cast<llvm::BasicBlock*>(instruction->getParent()))) return false;
    has_lifetime |= instruction->isLifetimeStartOrEnd();
    if (llvm::isa<llvm::LifetimeIntrinsic>(instruction) &&
        llvm::cast<llvm::IntrinsicInst>(instruction)->getIntrinsicID() ==
            llvm::Intrinsic::lifetime_start) {
      begins.push_back(instruction);
    }
  }
  if (!IsDeclared(variable) && llvm::is_contained(kTemporaries, StemOf(variable))) return true;
  // A life that begins in each turn before anything else is done with it.
  return has_lifetime && llvm::all_of(variable.users(), [&](const llvm::User* user) {
           const auto* const use = llvm::cast<llvm::Instruction>(user);
           return llvm::any_of(begins, [&](const llvm::Instruction* begin) {
             return begin == use || dominators.dominates(begin, use);
           });
         });
}

const llvm::DbgVariableRecord* LoopRegion::DeclarationInScope(
    llvm::Value& variable, const llvm::DominatorTree& dominators) const {
  const llvm::DebugLoc place = location();
  const auto* const scope = llvm::cast<llvm::DILocalScope>(place.getScope());
  for (const llvm::DbgVariableRecord* record : llvm::findDVRDeclares(&variable)) {
    const llvm::BasicBlock* const block = record->getParent();
    if (record->getFunction() != &function() ||
        blocks_.contains(const_cast<llvm::BasicBlock*>(block)) ||
        !dominators.dominates(block, header_)) {
      continue;
    }
    const llvm::DILocalScope* const declared =
        record->getVariable()->getScope()->getNonLexicalBlockFileScope();
    if (IsAround(*declared, scope->getNonLexicalBlockFileScope())) return record;
  }
  return nullptr;
}

const char* LoopRegion::FindVariables() {
  const llvm::DominatorTree dominators(function());
  // Whatever is in scope: so that an edit may use more of it, or less.
  const auto add = [&](llvm::Value& value) {
    const llvm::DbgVariableRecord* declaration = DeclarationInScope(value, dominators);
    if (declaration == nullptr && !IsUsed(value)) return;
    const auto elsewhere = llvm::findDVRDeclares(&value);
    if (declaration == nullptr && !elsewhere.empty()) declaration = elsewhere.front();
    variables_.push_back({&value, MeaningOf(value, declaration)});
  };
  for (llvm::Argument& argument : function().args()) add(argument);
  for (llvm::Instruction& instruction : function().getEntryBlock()) {
    auto* const variable = llvm::dyn_cast<llvm::AllocaInst>(&instruction);
    if (variable == nullptr || !variable->isStaticAlloca()) continue;
    if (IsOfATurn(*variable, dominators)) {
      of_a_turn_.push_back(variable);
    } else if (!IsDeclared(*variable) && llvm::is_contained(kExceptionSlots, StemOf(*variable))) {
      if (IsUsed(*variable)) of_everyone_.push_back(variable);
    } else {
      add(*variable);
    }
  }
  return AddValues();
}

const char* LoopRegion::AddValues() {
  llvm::SmallPtrSet<const llvm::Value*, 16> seen;
  for (llvm::BasicBlock* block : blocks_) {
    for (llvm::Instruction& instruction : *block) {
      for (const llvm::User* user : instruction.users()) {
        const auto* const use = llvm::cast<llvm::Instruction>(user);
        if (!blocks_.contains(const_cast<llvm::BasicBlock*>(use->getParent()))) {
          return "a value that is no variable leaves a turn";
        }
      }
      for (llvm::Value* operand : instruction.operand_values()) {
        auto* const value = llvm::dyn_cast<llvm::Instruction>(operand);
        if (value == nullptr || blocks_.contains(value->getParent())) continue;
        const auto* const variable = llvm::dyn_cast<llvm::AllocaInst>(value);
        if (variable != nullptr && variable->isStaticAlloca()) continue;
        if (!seen.insert(value).second) continue;
        // What `this` is, and arrays of variable length.
        const llvm::TinyPtrVector<llvm::DbgVariableRecord*> declared = llvm::findDVRDeclares(value);
        const bool is_array = variable != nullptr && !declared.empty();
        if (!is_array && value->getName() != "this1") {
          return "it uses a value that was computed before it and is no variable (the size of an "
                 "array of variable length, for one)";
        }
        variables_.push_back({value, MeaningOf(*value, is_array ? declared.front() : nullptr)});
      }
    }
  }
  return nullptr;
}

}  // namespace mend::patchc
