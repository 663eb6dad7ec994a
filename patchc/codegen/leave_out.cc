#include "patchc/codegen/leave_out.h"

#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SetVector.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/GlobalAlias.h>
#include <llvm/IR/GlobalIFunc.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include "patchc/codegen/ir_hash.h"

namespace mend::patchc {
namespace {

using FunctionSet = llvm::SmallPtrSet<llvm::Function*, 16>;
using References = llvm::DenseMap<llvm::Function*, llvm::SmallVector<llvm::Function*, 8>>;

// Functions that aliases and indirect functions stand for, or assembler outside of functions, which
// may give them other names.
llvm::SmallPtrSet<const llvm::GlobalObject*, 8> OtherwiseNamed(const llvm::Module& module) {
  llvm::SmallPtrSet<const llvm::GlobalObject*, 8> named;
  const auto is_of_name = [](char c) {
    return llvm::isAlnum(c) || c == '_' || c == '.' || c == '$';
  };
  for (llvm::StringRef rest = module.getModuleInlineAsm(); !rest.empty();) {
    const llvm::StringRef name = rest.take_while(is_of_name);
    if (const llvm::Function* function = module.getFunction(name)) named.insert(function);
    rest = rest.drop_front(name.size()).drop_until(is_of_name);
  }
  for (const llvm::GlobalAlias& alias : module.aliases()) named.insert(alias.getAliaseeObject());
  for (const llvm::GlobalIFunc& ifunc : module.ifuncs()) named.insert(ifunc.getResolverFunction());
  return named;
}

// Whether anything but the function's own name leads into it: a table elsewhere may hold addresses
// of its blocks, and an alias may be new.
bool IsReachedOtherwise(const llvm::Function& function,
                        const llvm::SmallPtrSetImpl<const llvm::GlobalObject*>& named) {
  return named.contains(&function) || llvm::any_of(function, [](const llvm::BasicBlock& block) {
           return block.hasAddressTaken();
         });
}

void LeaveOut(llvm::Function& function) {
  function.dropAllReferences();
  function.clearMetadata();
  // Passes pass it by. There are many times more of these than of functions that are optimised.
  for (const llvm::Attribute::AttrKind kind :
       {llvm::Attribute::AlwaysInline, llvm::Attribute::MinSize, llvm::Attribute::OptimizeForSize,
        llvm::Attribute::OptimizeForDebugging}) {
    function.removeFnAttr(kind);
  }
  function.addFnAttr(llvm::Attribute::NoInline);
  function.addFnAttr(llvm::Attribute::OptimizeNone);
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(function.getContext(), "", &function));
  builder.CreateIntrinsic(llvm::Intrinsic::trap, {});
  builder.CreateUnreachable();
}

// The functions with bodies that `function` refers to, itself or through globals.
llvm::SmallVector<llvm::Function*, 8> ReferencesOf(llvm::Function& function) {
  llvm::SmallSetVector<llvm::Value*, 32> reached;
  const auto add_operands = [&reached](llvm::User& user) {
    for (llvm::Value* operand : user.operand_values()) {
      if (llvm::isa<llvm::Constant>(operand)) reached.insert(operand);
    }
  };
  add_operands(function);
  for (llvm::Instruction& instruction : llvm::instructions(function)) add_operands(instruction);
  llvm::SmallVector<llvm::Function*, 8> functions;
  for (size_t i = 0; i < reached.size(); ++i) {
    if (auto* target = llvm::dyn_cast<llvm::Function>(reached[i])) {
      if (!target->isDeclaration()) functions.push_back(target);
    } else {
      add_operands(llvm::cast<llvm::User>(*reached[i]));
    }
  }
  return functions;
}

// Adds all that `edges` lead to.
void Close(FunctionSet& set, const References& edges) {
  llvm::SmallVector<llvm::Function*, 32> pending(set.begin(), set.end());
  while (!pending.empty()) {
    const auto found = edges.find(pending.pop_back_val());
    if (found == edges.end()) continue;
    for (llvm::Function* target : found->second) {
      if (set.insert(target).second) pending.push_back(target);
    }
  }
}

// By function: those that may have copies of it.
class Copies {
 public:
  explicit Copies(const std::map<std::string, KnownFunction>& known) : known_(known) {}

  // `references`: what it refers to.
  void Add(llvm::Function& function, const llvm::SmallVectorImpl<llvm::Function*>& references) {
    const KnownFunction* const on_record = Code(function);
    if (on_record != nullptr) {
      for (const std::string& name : on_record->copies) {
        llvm::Function* const copied = function.getParent()->getFunction(name);
        if (copied != nullptr) holders_[copied].push_back(&function);
      }
    }
    for (llvm::Function* target : references) {
      // What is not on record is in its callers, or new.
      const bool may_hold = on_record == nullptr || Code(*target) == nullptr ||
                            target->hasFnAttribute(llvm::Attribute::AlwaysInline);
      if (may_hold) holders_[target].push_back(&function);
    }
  }

  const References& holders() const { return holders_; }

 private:
  const KnownFunction* Code(const llvm::Function& function) const {
    const auto found = known_.find(function.getName().str());
    return found != known_.end() && found->second.has_code ? &found->second : nullptr;
  }

  const std::map<std::string, KnownFunction>& known_;
  References holders_;
};

// What an edit makes of a unit's functions.
struct Reach {
  FunctionSet affected;
  FunctionSet needed;  // what the optimiser has to see
};

Reach ReachOf(llvm::Module& module, const FunctionSet& edited,
              const std::map<std::string, KnownFunction>& known) {
  References callees;
  Copies copies(known);
  Reach reach;
  const auto named = OtherwiseNamed(module);
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    copies.Add(function, callees[&function] = ReferencesOf(function));
    if (IsReachedOtherwise(function, named) || function.isPresplitCoroutine()) {
      reach.needed.insert(&function);
    }
  }
  reach.affected = edited;
  Close(reach.affected, copies.holders());
  reach.needed.insert(reach.affected.begin(), reach.affected.end());
  Close(reach.needed, callees);
  return reach;
}

}  // namespace

llvm::PreservedAnalyses PrunePass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  IrHasher hasher(module);
  FunctionSet edited;
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    const std::string name = function.getName().str();
    const std::string hash = hasher.Hash(function);
    if (!hash.empty()) hashes_->input[name] = hash;
    const auto known = hashes_->known.find(name);
    const bool is_known =
        known != hashes_->known.end() && !hash.empty() && known->second.input_hash == hash;
    if (!is_known) edited.insert(&function);
  }
  for (const llvm::GlobalAlias& alias : module.aliases()) {
    const llvm::GlobalObject* object = alias.getAliaseeObject();
    const auto input =
        object == nullptr ? hashes_->input.end() : hashes_->input.find(object->getName().str());
    if (input != hashes_->input.end()) hashes_->input[alias.getName().str()] = input->second;
  }
  if (hashes_->known.empty()) return llvm::PreservedAnalyses::all();

  const Reach reach = ReachOf(module, edited, hashes_->known);
  // What only functions call that are left out must not be taken for unused.
  llvm::SmallVector<llvm::GlobalValue*, 64> called;
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    const std::string name = function.getName().str();
    const auto known = hashes_->known.find(name);
    const bool has_code = known != hashes_->known.end() && known->second.has_code;
    if (has_code) called.push_back(&function);
    if (reach.affected.contains(&function)) continue;
    if (reach.needed.contains(&function)) {
      if (has_code) hashes_->unaffected.insert(name);
    } else if (function.hasAvailableExternallyLinkage()) {
      function.deleteBody();
    } else {
      LeaveOut(function);
      if (has_code) hashes_->left_out.insert(name);
    }
  }
  if (!called.empty()) llvm::appendToCompilerUsed(module, called);
  return llvm::PreservedAnalyses::none();
}

llvm::PreservedAnalyses LeaveOutPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  IrHasher hasher(module);
  const auto named = OtherwiseNamed(module);
  llvm::SmallVector<llvm::GlobalValue*, 64> defined;
  llvm::SmallVector<llvm::Function*, 64> unchanged;
  for (llvm::Function& function : module) {
    if (function.isDeclarationForLinker()) continue;
    defined.push_back(&function);
    const std::string name = function.getName().str();
    if (hashes_->left_out.contains(name)) continue;
    if (hashes_->unaffected.contains(name) && !IsReachedOtherwise(function, named)) {
      unchanged.push_back(&function);
      continue;
    }
    const std::string hash = hasher.Hash(function);
    if (hash.empty()) continue;
    hashes_->found[name] = hash;
    const auto known = hashes_->known.find(name);
    const bool is_known = known != hashes_->known.end() && known->second.ir_hash == hash;
    if (is_known && !IsReachedOtherwise(function, named)) unchanged.push_back(&function);
  }
  if (unchanged.empty()) return llvm::PreservedAnalyses::all();
  // What only they call must not be taken for unused.
  llvm::appendToCompilerUsed(module, defined);
  for (llvm::Function* function : unchanged) {
    hashes_->left_out.insert(function->getName().str());
    LeaveOut(*function);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace mend::patchc
