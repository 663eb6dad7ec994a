#include "patchc/codegen/code_facts.h"

#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/CFG.h>
#include <llvm/Analysis/InlineAdvisor.h>
#include <llvm/Analysis/InlineCost.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Metadata.h>
#include <llvm/IR/Module.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include <memory>
#include <utility>
#include <vector>

#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

constexpr char kNoUnwindAttribute[] = "mend-nounwind";
constexpr char kInlinedMetadata[] = "mend.inlined";  // pairs: caller, callee
constexpr char kUnitAnnotation[] = "mend_unit";

void AddInlined(llvm::Module& module, llvm::StringRef caller, llvm::StringRef callee) {
  llvm::LLVMContext& context = module.getContext();
  module.getOrInsertNamedMetadata(kInlinedMetadata)
      ->addOperand(llvm::MDTuple::get(
          context, {llvm::MDString::get(context, caller), llvm::MDString::get(context, callee)}));
}

// Failed assertions are no way out that anyone takes.
bool EndsTheProgram(const llvm::BasicBlock& block) {
  for (const llvm::Instruction& instruction : block) {
    const auto* const call = llvm::dyn_cast<llvm::CallBase>(&instruction);
    const llvm::Function* const callee = call == nullptr ? nullptr : call->getCalledFunction();
    if (callee == nullptr) continue;
    if (callee->getName() == "abort" || callee->getName() == "__assert_fail") return true;
  }
  return false;
}

bool IsEndless(const llvm::Function& function) {
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

// Passes the inner advisor's advice on, and notes what comes of it.
class RecordingAdvice : public llvm::InlineAdvice {
 public:
  RecordingAdvice(llvm::InlineAdvisor* advisor, llvm::CallBase& call,
                  llvm::OptimizationRemarkEmitter& remarks, std::unique_ptr<InlineAdvice> inner)
      : InlineAdvice(advisor, call, remarks, inner->isInliningRecommended()),
        callee_(Callee->getName().str()),
        inner_(std::move(inner)) {}

 private:
  void recordInliningImpl() override {
    AddInlined(*Caller->getParent(), Caller->getName(), callee_);
    inner_->recordInlining();
  }
  void recordInliningWithCalleeDeletedImpl() override {
    AddInlined(*Caller->getParent(), Caller->getName(), callee_);
    inner_->recordInliningWithCalleeDeleted();
  }
  void recordUnsuccessfulInliningImpl(const llvm::InlineResult& result) override {
    inner_->recordUnsuccessfulInlining(result);
  }
  void recordUnattemptedInliningImpl() override { inner_->recordUnattemptedInlining(); }

  const std::string callee_;
  const std::unique_ptr<InlineAdvice> inner_;
};

class RecordingAdvisor : public llvm::InlineAdvisor {
 public:
  RecordingAdvisor(llvm::Module& module, llvm::FunctionAnalysisManager& analyses,
                   llvm::InlineParams parameters, llvm::InlineContext context)
      : InlineAdvisor(module, analyses, context), inner_(module, analyses, parameters, context) {}

 private:
  std::unique_ptr<llvm::InlineAdvice> getAdviceImpl(llvm::CallBase& call) override {
    return Recording(call, inner_.getAdvice(call));
  }
  std::unique_ptr<llvm::InlineAdvice> getMandatoryAdvice(llvm::CallBase& call,
                                                         bool /*advice*/) override {
    return Recording(call, inner_.getAdvice(call, /*MandatoryOnly=*/true));
  }
  std::unique_ptr<llvm::InlineAdvice> Recording(llvm::CallBase& call,
                                                std::unique_ptr<llvm::InlineAdvice> advice) {
    if (advice == nullptr) return nullptr;
    return std::make_unique<RecordingAdvice>(this, call, getCallerORE(call), std::move(advice));
  }

  llvm::DefaultInlineAdvisor inner_;
};

// What must be inlined is inlined without an advisor when nothing else is (-O0).
void AddMandatory(llvm::Function& function) {
  for (const llvm::Instruction& instruction : llvm::instructions(function)) {
    const auto* call = llvm::dyn_cast<llvm::CallBase>(&instruction);
    const llvm::Function* callee = call != nullptr ? call->getCalledFunction() : nullptr;
    if (callee == nullptr || callee->isDeclaration() || callee == &function) continue;
    if (callee->hasFnAttribute(llvm::Attribute::AlwaysInline)) {
      AddInlined(*function.getParent(), function.getName(), callee->getName());
    }
  }
}

// Clang's table of __attribute__((annotate)): { function, text, file, line, arguments }.
std::vector<llvm::Constant*> MarkedFunctions(llvm::Module& module) {
  std::vector<llvm::Constant*> marked;
  const llvm::GlobalVariable* table = module.getGlobalVariable("llvm.global.annotations");
  if (table == nullptr || !table->hasInitializer()) return marked;
  const auto* entries = llvm::dyn_cast<llvm::ConstantArray>(table->getInitializer());
  if (entries == nullptr) return marked;
  for (const llvm::Use& entry : entries->operands()) {
    const auto* fields = llvm::dyn_cast<llvm::ConstantStruct>(entry.get());
    if (fields == nullptr || fields->getNumOperands() < 2) continue;
    auto* function = llvm::dyn_cast<llvm::Function>(fields->getOperand(0)->stripPointerCasts());
    const auto* text =
        llvm::dyn_cast<llvm::GlobalVariable>(fields->getOperand(1)->stripPointerCasts());
    if (function == nullptr || function->isDeclarationForLinker() || text == nullptr ||
        !text->hasInitializer()) {
      continue;
    }
    const auto* bytes = llvm::dyn_cast<llvm::ConstantDataSequential>(text->getInitializer());
    if (bytes == nullptr || !bytes->isCString() || bytes->getAsCString() != kUnitAnnotation) {
      continue;
    }
    marked.push_back(function);
  }
  return marked;
}

void AddUnitTable(llvm::Module& module) {
  const std::vector<llvm::Constant*> marked = MarkedFunctions(module);
  if (marked.empty()) return;
  auto* type =
      llvm::ArrayType::get(llvm::PointerType::getUnqual(module.getContext()), marked.size());
  auto* table =
      new llvm::GlobalVariable(module, type, /*isConstant=*/true, llvm::GlobalValue::PrivateLinkage,
                               llvm::ConstantArray::get(type, marked), "__mend_units");
  table->setSection(kUnitSection);
  table->setAlignment(llvm::Align(sizeof(void*)));
  llvm::appendToCompilerUsed(module, {table});
}

// Follows what is made of a constant's address to where it leaves the code that it is used in.
// Calls do not count: most that take a table read it.
class AddressFollower {
 public:
  explicit AddressFollower(std::set<std::string>& givers) : givers_(givers) {}

  void Follow(const llvm::Value& address) {
    if (!seen_.insert(&address).second) return;
    for (const llvm::Use& use : address.uses()) FollowUse(use);
  }

 private:
  void FollowUse(const llvm::Use& use) {
    const llvm::User& user = *use.getUser();
    if (const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(&user)) {
      // What a variable begins with is compared as its contents.
      if (variable->isConstant()) Follow(*variable);
    } else if (llvm::isa<llvm::Constant, llvm::GetElementPtrInst, llvm::CastInst, llvm::PHINode,
                         llvm::SelectInst>(user)) {
      Follow(user);
    } else if (const auto* store = llvm::dyn_cast<llvm::StoreInst>(&user)) {
      if (use.getOperandNo() == 0) FollowStore(*store);
    } else if (const auto* end = llvm::dyn_cast<llvm::ReturnInst>(&user)) {
      Give(*end);
    }
  }

  // A variable of the function, where nothing is optimised, gives it to who reads that.
  void FollowStore(const llvm::StoreInst& store) {
    const auto* local =
        llvm::dyn_cast<llvm::AllocaInst>(store.getPointerOperand()->stripPointerCasts());
    if (local == nullptr) return Give(store);
    for (const llvm::User* user : local->users()) {
      if (llvm::isa<llvm::LoadInst>(user)) Follow(*user);
    }
  }

  void Give(const llvm::Instruction& instruction) {
    givers_.insert(instruction.getFunction()->getName().str());
  }

  std::set<std::string>& givers_;
  llvm::SmallPtrSet<const llvm::Value*, 16> seen_;
};

}  // namespace

llvm::PreservedAnalyses BeginFactsPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  for (llvm::Function& function : module) {
    if (function.isDeclarationForLinker()) continue;
    if (function.doesNotThrow()) function.addFnAttr(kNoUnwindAttribute);
    AddMandatory(function);
  }
  AddUnitTable(module);
  return llvm::PreservedAnalyses::none();
}

llvm::PreservedAnalyses EndFactsPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  if (llvm::NamedMDNode* pairs = module.getNamedMetadata(kInlinedMetadata)) {
    for (const llvm::MDNode* pair : pairs->operands()) {
      const auto name = [pair](unsigned i) {
        return llvm::cast<llvm::MDString>(pair->getOperand(i))->getString().str();
      };
      facts_->inlined[name(0)].insert(name(1));
    }
    module.eraseNamedMetadata(pairs);
  }
  for (llvm::Function& function : module) {
    if (!function.isDeclarationForLinker()) {
      const std::string name = function.getName().str();
      if (function.hasFnAttribute(kNoUnwindAttribute)) facts_->nounwind.insert(name);
      if (IsEndless(function)) facts_->endless.insert(name);
    }
    function.removeFnAttr(kNoUnwindAttribute);
  }
  for (const llvm::GlobalVariable& variable : module.globals()) {
    // Private linkage is the compiler's own: nobody changes it by itself.
    if (!variable.isConstant() || !variable.hasName() || variable.hasPrivateLinkage()) continue;
    std::set<std::string> givers;
    AddressFollower(givers).Follow(variable);
    if (!givers.empty()) facts_->address_givers[variable.getName().str()] = std::move(givers);
  }
  return llvm::PreservedAnalyses::all();
}

std::set<std::string> CodeFacts::InlinedInto(const std::string& caller,
                                             const std::set<std::string>& known) const {
  std::set<std::string> copies;
  std::vector<std::string> worklist = {caller};
  while (!worklist.empty()) {
    const auto callees = inlined.find(worklist.back());
    worklist.pop_back();
    if (callees == inlined.end()) continue;
    for (const std::string& callee : callees->second) {
      if (!copies.insert(callee).second) continue;
      if (!known.contains(callee)) worklist.push_back(callee);
    }
  }
  copies.erase(caller);
  return copies;
}

void RecordInlining(llvm::PassBuilder& builder) {
  builder.registerAnalysisRegistrationCallback([](llvm::ModuleAnalysisManager& analyses) {
    analyses.registerPass([] {
      return llvm::PluginInlineAdvisorAnalysis(
          [](llvm::Module& module, llvm::FunctionAnalysisManager& functions,
             llvm::InlineParams parameters, llvm::InlineContext context) -> llvm::InlineAdvisor* {
            return new RecordingAdvisor(module, functions, parameters, context);
          });
    });
  });
}

}  // namespace mend::patchc
