#include "patchc/codegen/loop_outliner.h"

#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/BinaryFormat/Dwarf.h>
#include <llvm/IR/Attributes.h>
#include <llvm/IR/CFG.h>
#include <llvm/IR/DIBuilder.h>
#include <llvm/IR/DebugInfo.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

namespace mend::patchc {
namespace {

// What is true of the function around the loop and need not be of a turn.
constexpr llvm::Attribute::AttrKind kNotOfATurn[] = {
    llvm::Attribute::AllocKind,  llvm::Attribute::AllocSize,    llvm::Attribute::AlwaysInline,
    llvm::Attribute::InlineHint, llvm::Attribute::Memory,       llvm::Attribute::MustProgress,
    llvm::Attribute::NoFree,     llvm::Attribute::NoRecurse,    llvm::Attribute::NoReturn,
    llvm::Attribute::NoSync,     llvm::Attribute::ReturnsTwice, llvm::Attribute::Speculatable,
    llvm::Attribute::WillReturn};

class Outliner {
 public:
  Outliner(const LoopRegion& region, llvm::StringRef name)
      : region_(region),
        outer_(region.function()),
        context_(outer_.getContext()),
        location_(region.location()),
        body_(CreateBody(name)),
        entry_(llvm::BasicBlock::Create(context_, "entry", body_)) {}

  llvm::Function* Run(llvm::StringRef shown) {
    ForgetLifetimes();
    llvm::BasicBlock* const turn = CreateTurns();
    MoveBlocks();
    MoveVariables();
    LoadVariables();
    EndTurns();
    llvm::IRBuilder<>(entry_).CreateBr(region_.header());
    CallBody(*turn);
    if (llvm::any_of(*body_, [](const llvm::BasicBlock& block) { return block.isLandingPad(); })) {
      body_->setPersonalityFn(outer_.getPersonalityFn());
    }
    DescribeToDebuggers(shown);
    return body_;
  }

 private:
  bool has_exits() const { return !region_.exits().empty(); }

  llvm::Function* CreateBody(llvm::StringRef name) {
    llvm::Type* const result =
        has_exits() ? llvm::Type::getInt32Ty(context_) : llvm::Type::getVoidTy(context_);
    llvm::Module& module = *outer_.getParent();
    // A function that several units define, such as a template's instance, has its loops with it.
    const bool is_shared = outer_.hasLinkOnceODRLinkage() || outer_.hasWeakODRLinkage();
    auto* const body = llvm::Function::Create(
        llvm::FunctionType::get(result, {llvm::PointerType::getUnqual(context_)}, false),
        is_shared ? llvm::GlobalValue::LinkOnceODRLinkage : llvm::GlobalValue::InternalLinkage,
        outer_.getAddressSpace(), name, &module);
    if (is_shared) {
      body->setVisibility(llvm::GlobalValue::HiddenVisibility);
      body->setComdat(module.getOrInsertComdat(name));
    }
    body->setDSOLocal(true);
    llvm::AttrBuilder attributes(context_, outer_.getAttributes().getFnAttrs());
    for (const llvm::Attribute::AttrKind kind : kNotOfATurn) attributes.removeAttribute(kind);
    attributes.removeAttribute("alloc-family");
    attributes.addAttribute(llvm::Attribute::NoInline);
    body->addFnAttrs(attributes);
    body->getArg(0)->setName("frame");
    body->addParamAttr(0, llvm::Attribute::NoUndef);
    body->addParamAttr(0, llvm::Attribute::NonNull);
    return body;
  }

  // A variable whose life the code on both sides marked is alive all the time.
  void ForgetLifetimes() {
    const auto forget = [](llvm::Value* value) {
      for (llvm::User* user : llvm::make_early_inc_range(value->users())) {
        auto* const instruction = llvm::cast<llvm::Instruction>(user);
        if (instruction->isLifetimeStartOrEnd()) instruction->eraseFromParent();
      }
    };
    for (const LoopVariable& variable : region_.variables()) {
      if (llvm::isa<llvm::AllocaInst>(variable.value)) forget(variable.value);
    }
    for (llvm::AllocaInst* variable : region_.of_everyone()) forget(variable);
  }

  // The frame, filled before the loop, and the block that a turn begins with.
  llvm::BasicBlock* CreateTurns() {
    llvm::SmallVector<llvm::Type*, 16> types;
    for (const LoopVariable& variable : region_.variables()) {
      types.push_back(variable.value->getType());
    }
    frame_type_ = llvm::StructType::get(context_, types);
    llvm::BasicBlock& outer_entry = outer_.getEntryBlock();
    frame_ = llvm::IRBuilder<>(&outer_entry, outer_entry.getFirstNonPHIIt())
                 .CreateAlloca(frame_type_, nullptr, "loop.frame");
    auto* const before =
        llvm::BasicBlock::Create(context_, "loop.begin", &outer_, region_.header());
    auto* const turn = llvm::BasicBlock::Create(context_, kTurnBlock, &outer_, region_.header());
    for (llvm::BasicBlock* block : llvm::to_vector(llvm::predecessors(region_.header()))) {
      if (region_.blocks().contains(block)) continue;
      block->getTerminator()->replaceSuccessorWith(region_.header(), before);
    }
    llvm::IRBuilder<> builder(before);
    unsigned field = 0;
    for (const LoopVariable& variable : region_.variables()) {
      builder.CreateStore(variable.value, builder.CreateStructGEP(frame_type_, frame_, field++));
    }
    builder.CreateBr(turn);
    return turn;
  }

  void MoveBlocks() {
    for (llvm::BasicBlock* block : region_.blocks()) {
      block->removeFromParent();
      block->insertInto(body_);
    }
  }

  void MoveVariables() {
    for (llvm::AllocaInst* variable : region_.of_a_turn()) {
      variable->removeFromParent();
      variable->insertInto(entry_, entry_->end());
      ForgetRecordsOutside(variable);
    }
    for (llvm::AllocaInst* variable : region_.of_everyone()) {
      llvm::Instruction* const copy = variable->clone();
      copy->insertInto(entry_, entry_->end());
      ReplaceInBody(variable, copy);
    }
  }

  void ForgetRecordsOutside(llvm::Value* value) {
    llvm::SmallVector<llvm::DbgVariableRecord*, 2> records;
    llvm::findDbgUsers(value, records);
    for (llvm::DbgVariableRecord* record : records) {
      if (record->getFunction() == &outer_) record->eraseFromParent();
    }
  }

  // False: the body does not use it.
  bool ReplaceInBody(llvm::Value* value, llvm::Value* by) {
    bool found = false;
    for (llvm::Use& use : llvm::make_early_inc_range(value->uses())) {
      const auto* const user = llvm::cast<llvm::Instruction>(use.getUser());
      if (user->getFunction() != body_) continue;
      use.set(by);
      found = true;
    }
    llvm::SmallVector<llvm::DbgVariableRecord*, 2> records;
    llvm::findDbgUsers(value, records);
    for (llvm::DbgVariableRecord* record : records) {
      if (record->getFunction() == body_) record->replaceVariableLocationOp(value, by);
    }
    return found;
  }

  void LoadVariables() {
    llvm::IRBuilder<> builder(entry_);
    unsigned field = 0;
    for (const LoopVariable& variable : region_.variables()) {
      llvm::Value* const place = builder.CreateStructGEP(frame_type_, body_->getArg(0), field++);
      llvm::LoadInst* const loaded = builder.CreateLoad(variable.value->getType(), place);
      if (!ReplaceInBody(variable.value, loaded)) {
        loaded->eraseFromParent();
        if (auto* unused = llvm::dyn_cast<llvm::Instruction>(place)) unused->eraseFromParent();
        continue;
      }
      if (llvm::isa<llvm::AllocaInst>(variable.value)) {
        loaded->setMetadata(llvm::LLVMContext::MD_nonnull, llvm::MDNode::get(context_, {}));
      }
      loaded_.push_back({variable.value, loaded});
    }
  }

  // Makes the ways out of a turn return to the loop.
  void EndTurns() {
    llvm::DenseMap<llvm::BasicBlock*, llvm::BasicBlock*> ways;
    const auto add_way = [&](llvm::BasicBlock* target, uint32_t number) {
      auto* const way = llvm::BasicBlock::Create(context_, "loop.end", body_);
      llvm::IRBuilder<> builder(way);
      if (has_exits()) {
        builder.CreateRet(builder.getInt32(number));
      } else {
        builder.CreateRetVoid();
      }
      ways[target] = way;
    };
    add_way(region_.header(), 0);
    uint32_t number = 0;
    for (llvm::BasicBlock* exit : region_.exits()) add_way(exit, ++number);
    for (llvm::BasicBlock* block : region_.blocks()) {
      llvm::Instruction* const end = block->getTerminator();
      for (unsigned i = 0; i < end->getNumSuccessors(); ++i) {
        llvm::BasicBlock* const next = end->getSuccessor(i);
        const auto way = ways.find(next);
        if (way == ways.end()) continue;
        end->setSuccessor(i, way->second);
        // What was asked for of the loop is not for a straight piece of code.
        if (next == region_.header()) end->setMetadata(llvm::LLVMContext::MD_loop, nullptr);
      }
    }
  }

  void CallBody(llvm::BasicBlock& turn) {
    llvm::IRBuilder<> builder(&turn);
    builder.SetCurrentDebugLocation(location_);
    llvm::CallInst* const call = builder.CreateCall(body_, {frame_});
    if (outer_.hasFnAttribute(llvm::Attribute::StrictFP)) {
      call->addFnAttr(llvm::Attribute::StrictFP);
    }
    if (!has_exits()) {
      builder.CreateBr(&turn);
      return;
    }
    llvm::SwitchInst* const way = builder.CreateSwitch(call, &turn);
    uint32_t number = 0;
    for (llvm::BasicBlock* exit : region_.exits()) way->addCase(builder.getInt32(++number), exit);
  }

  void DescribeToDebuggers(llvm::StringRef shown) {
    llvm::DISubprogram* const outer = outer_.getSubprogram();
    llvm::DIBuilder builder(*outer_.getParent(), /*AllowUnresolved=*/false, outer->getUnit());
    llvm::DISubprogram::DISPFlags flags =
        llvm::DISubprogram::SPFlagDefinition | llvm::DISubprogram::SPFlagLocalToUnit;
    if (outer->isOptimized()) flags |= llvm::DISubprogram::SPFlagOptimized;
    llvm::DISubprogram* const subprogram = builder.createFunction(
        outer->getFile(), shown, body_->getName(), outer->getFile(), location_.getLine(),
        builder.createSubroutineType(builder.getOrCreateTypeArray({})), location_.getLine(),
        llvm::DINode::FlagZero, flags);
    body_->setSubprogram(subprogram);
    for (const auto& [value, loaded] : loaded_) DeclareInBody(*value, *loaded, builder);
    for (llvm::Instruction& instruction : llvm::instructions(*body_)) {
      Relocate(instruction, builder);
    }
    builder.finalizeSubprogram(subprogram);
  }

  // Variables that are declared around the loop, for debuggers that stop in the body.
  void DeclareInBody(llvm::Value& value, llvm::LoadInst& loaded, llvm::DIBuilder& builder) {
    if (!llvm::findDVRDeclares(&loaded).empty()) return;
    for (const llvm::DbgVariableRecord* record : llvm::findDVRDeclares(&value)) {
      if (record->getFunction() != &outer_) continue;
      const llvm::DILocalVariable& variable = *record->getVariable();
      llvm::DISubprogram* const scope = body_->getSubprogram();
      llvm::DILocalVariable* const here = builder.createAutoVariable(
          scope, variable.getName(), variable.getFile(), variable.getLine(), variable.getType());
      builder.insertDeclare(&loaded, here, record->getExpression(),
                            llvm::DILocation::get(context_, location_.getLine(), 0, scope),
                            entry_->getTerminator()->getIterator());
      return;
    }
  }

  // All that an instruction says of its place in the source is to be in the body's own description.
  void Relocate(llvm::Instruction& instruction, llvm::DIBuilder& builder) {
    llvm::DISubprogram& subprogram = *body_->getSubprogram();
    const auto moved = [&](const llvm::DebugLoc& location) {
      return llvm::DebugLoc::replaceInlinedAtSubprogram(location, subprogram, context_, places_);
    };
    for (llvm::DbgRecord& record : llvm::make_early_inc_range(instruction.getDbgRecordRange())) {
      auto* const variable = llvm::dyn_cast<llvm::DbgVariableRecord>(&record);
      if (variable == nullptr) {
        record.eraseFromParent();
        continue;
      }
      if (variable->getVariable()->getScope()->getSubprogram() == &subprogram) continue;
      if (variable->getDebugLoc().getInlinedAt() == nullptr) {
        variable->setVariable(InBody(*variable->getVariable(), builder));
      }
      variable->setDebugLoc(moved(variable->getDebugLoc()));
    }
    if (instruction.getDebugLoc()) instruction.setDebugLoc(moved(instruction.getDebugLoc()));
    llvm::updateLoopMetadataDebugLocations(instruction, [&](llvm::Metadata* metadata) {
      auto* const location = llvm::dyn_cast_or_null<llvm::DILocation>(metadata);
      return location == nullptr ? metadata : static_cast<llvm::Metadata*>(moved(location).get());
    });
  }

  llvm::DILocalVariable* InBody(const llvm::DILocalVariable& variable, llvm::DIBuilder& builder) {
    llvm::DILocalVariable*& here = variables_[&variable];
    if (here == nullptr) {
      llvm::DILocalScope* const scope = llvm::DILocalScope::cloneScopeForSubprogram(
          *variable.getScope(), *body_->getSubprogram(), context_, places_);
      here = builder.createAutoVariable(
          scope, variable.getName(), variable.getFile(), variable.getLine(), variable.getType(),
          /*AlwaysPreserve=*/false, llvm::DINode::FlagZero, variable.getAlignInBits());
    }
    return here;
  }

  const LoopRegion& region_;
  llvm::Function& outer_;
  llvm::LLVMContext& context_;
  const llvm::DebugLoc location_;
  llvm::Function* const body_;
  llvm::BasicBlock* const entry_;
  llvm::StructType* frame_type_ = nullptr;
  llvm::AllocaInst* frame_ = nullptr;
  llvm::SmallVector<std::pair<llvm::Value*, llvm::LoadInst*>, 16> loaded_;
  llvm::DenseMap<const llvm::MDNode*, llvm::MDNode*> places_;
  llvm::DenseMap<const llvm::DILocalVariable*, llvm::DILocalVariable*> variables_;
};

}  // namespace

llvm::Function* OutlineLoop(const LoopRegion& region, llvm::StringRef name, llvm::StringRef shown) {
  return Outliner(region, name).Run(shown);
}

}  // namespace mend::patchc
