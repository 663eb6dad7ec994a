#include "patchc/codegen/ir_hash.h"

#include <llvm/ADT/StringExtras.h>
#include <llvm/IR/BasicBlock.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/GlobalAlias.h>
#include <llvm/IR/GlobalIFunc.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Operator.h>
#include <llvm/Support/Casting.h>

#include "patchc/object/fingerprint.h"

namespace mend::patchc {
namespace {

// What a value that follows is. Numbers below stand for themselves.
enum Tag : uint64_t {
  kLocal = 1,
  kConstant,
  kGlobal,
  kAssembly,
  kMetadata,
  kMetadataString,
  kMetadataKnown,
  kMetadataNode,
  kDebug,
  kNothing,
};

// Positions of a unit's sources, which only messages use.
constexpr char kSourceLocation[] = "srcloc";

bool IsDebugNode(const llvm::Metadata* metadata) {
  return llvm::isa<llvm::DINode>(metadata) || llvm::isa<llvm::DILocation>(metadata) ||
         llvm::isa<llvm::DIExpression>(metadata) || llvm::isa<llvm::DIArgList>(metadata) ||
         llvm::isa<llvm::DIAssignID>(metadata) ||
         llvm::isa<llvm::DIGlobalVariableExpression>(metadata) ||
         llvm::isa<llvm::DIMacroNode>(metadata);
}

// Its number depends on the rest of the unit; its contents say what it is.
bool IsNameless(const llvm::GlobalValue& global) {
  const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(&global);
  return variable != nullptr && variable->isConstant() && variable->hasPrivateLinkage();
}

}  // namespace

IrHasher::IrHasher(const llvm::Module& module) {
  module.getMDKindNames(kind_names_);
  AddText(module.getTargetTriple().str());
  AddText(module.getDataLayoutStr());
  if (const llvm::NamedMDNode* flags = module.getModuleFlagsMetadata()) {
    for (const llvm::MDNode* flag : flags->operands()) AddMetadata(flag);
  }
  prologue_ = std::move(text_);
}

std::string IrHasher::Hash(const llvm::Function& function) {
  text_ = prologue_;
  is_complete_ = true;
  locals_.clear();
  mentions_.clear();
  nodes_.clear();
  AddGlobal(function);
  AddBody(function);
  // Everything that it reaches through the contents of variables.
  for (size_t i = 0; i < mentions_.size() && is_complete_; ++i) {
    const GlobalFacts& facts = Facts(*mentions_[i]);
    is_complete_ = is_complete_ && !facts.hash.empty();
    AddText(facts.hash);
    mentions_.insert(facts.mentions.begin(), facts.mentions.end());
  }
  // Half of it tells two versions of a function apart as surely; objects have two of each function.
  return is_complete_ ? HashHex(text_).substr(0, 16) : std::string();
}

void IrHasher::Add(uint64_t number) {
  // Most numbers are small.
  for (; number >= 128; number >>= 7) text_.push_back(static_cast<char>(number | 128));
  text_.push_back(static_cast<char>(number));
}

void IrHasher::AddText(llvm::StringRef text) {
  Add(text.size());
  text_.append(text.data(), text.size());
}

void IrHasher::AddType(llvm::Type* type) {
  std::string& known = types_[type];
  if (known.empty()) {
    std::string encoded = EncodeType(type);
    // Encoding the parts may have moved `known`.
    types_[type] = encoded;
    text_ += encoded;
    return;
  }
  text_ += known;
}

// By structure: the names of records do not matter, and may be numbered.
std::string IrHasher::EncodeType(llvm::Type* type) {
  std::string outer;
  std::swap(outer, text_);
  Add(type->getTypeID());
  switch (type->getTypeID()) {
    case llvm::Type::IntegerTyID:
      Add(type->getIntegerBitWidth());
      break;
    case llvm::Type::PointerTyID:
      Add(type->getPointerAddressSpace());
      break;
    case llvm::Type::ArrayTyID:
      Add(type->getArrayNumElements());
      break;
    case llvm::Type::FixedVectorTyID:
    case llvm::Type::ScalableVectorTyID:
      Add(llvm::cast<llvm::VectorType>(type)->getElementCount().getKnownMinValue());
      break;
    case llvm::Type::StructTyID:
      Add(llvm::cast<llvm::StructType>(type)->isPacked());
      Add(llvm::cast<llvm::StructType>(type)->isOpaque());
      break;
    case llvm::Type::FunctionTyID:
      Add(llvm::cast<llvm::FunctionType>(type)->isVarArg());
      break;
    case llvm::Type::TargetExtTyID:
    case llvm::Type::TypedPointerTyID:
      is_complete_ = false;
      break;
    default:
      break;
  }
  Add(type->getNumContainedTypes());
  for (llvm::Type* part : type->subtypes()) AddType(part);
  std::swap(outer, text_);
  return outer;
}

void IrHasher::AddAttributes(const llvm::AttributeList& attributes) {
  const auto [known, is_new] = attributes_.try_emplace(attributes.getRawPointer());
  if (is_new) {
    std::string encoded = EncodeAttributes(attributes);
    attributes_[attributes.getRawPointer()] = encoded;
    text_ += encoded;
    return;
  }
  text_ += known->second;
}

std::string IrHasher::EncodeAttributes(const llvm::AttributeList& attributes) {
  std::string outer;
  std::swap(outer, text_);
  for (const unsigned index : attributes.indexes()) {
    const llvm::AttributeSet set = attributes.getAttributes(index);
    if (!set.hasAttributes()) continue;
    Add(index);
    Add(set.getNumAttributes());
    for (const llvm::Attribute& attribute : set) {
      AddText(attribute.getAsString());
      // The text has a record's name only.
      if (attribute.isTypeAttribute() && attribute.getValueAsType() != nullptr) {
        AddType(attribute.getValueAsType());
      }
    }
  }
  AddText("end");
  std::swap(outer, text_);
  return outer;
}

void IrHasher::AddValue(const llvm::Value* value) {
  if (const auto local = locals_.find(value); local != locals_.end()) {
    Add(kLocal);
    Add(local->second);
  } else if (const auto* constant = llvm::dyn_cast<llvm::Constant>(value)) {
    AddConstant(*constant);
  } else if (const auto* assembly = llvm::dyn_cast<llvm::InlineAsm>(value)) {
    AddInlineAssembly(*assembly);
  } else if (const auto* metadata = llvm::dyn_cast<llvm::MetadataAsValue>(value)) {
    Add(kMetadata);
    AddMetadata(metadata->getMetadata());
  } else {
    is_complete_ = false;
  }
}

void IrHasher::AddConstant(const llvm::Constant& constant) {
  if (const auto* global = llvm::dyn_cast<llvm::GlobalValue>(&constant)) return AddGlobal(*global);
  Add(kConstant);
  Add(constant.getValueID());
  AddType(constant.getType());
  switch (constant.getValueID()) {
    case llvm::Value::UndefValueVal:
    case llvm::Value::PoisonValueVal:
    case llvm::Value::ConstantAggregateZeroVal:
    case llvm::Value::ConstantPointerNullVal:
    case llvm::Value::ConstantTokenNoneVal:
      return;
    case llvm::Value::ConstantIntVal:
      return AddText(llvm::toString(llvm::cast<llvm::ConstantInt>(constant).getValue(), 16, false));
    case llvm::Value::ConstantFPVal:
      return AddText(llvm::toString(
          llvm::cast<llvm::ConstantFP>(constant).getValueAPF().bitcastToAPInt(), 16, false));
    case llvm::Value::ConstantDataArrayVal:
    case llvm::Value::ConstantDataVectorVal:
      return AddText(llvm::cast<llvm::ConstantDataSequential>(constant).getRawDataValues());
    case llvm::Value::ConstantArrayVal:
    case llvm::Value::ConstantStructVal:
    case llvm::Value::ConstantVectorVal:
    case llvm::Value::DSOLocalEquivalentVal:
    case llvm::Value::NoCFIValueVal:
    case llvm::Value::BlockAddressVal:
      return AddOperands(constant);
    case llvm::Value::ConstantExprVal: {
      const auto& expression = llvm::cast<llvm::ConstantExpr>(constant);
      Add(expression.getOpcode());
      Add(expression.getRawSubclassOptionalData());
      if (const auto* place = llvm::dyn_cast<llvm::GEPOperator>(&constant)) {
        AddType(place->getSourceElementType());
        // No vtable of ours is split, so none has a range.
        if (place->getInRange()) is_complete_ = false;
      }
      return AddOperands(constant);
    }
    default:
      is_complete_ = false;
  }
}

void IrHasher::AddOperands(const llvm::User& user) {
  Add(user.getNumOperands());
  for (const llvm::Use& operand : user.operands()) AddValue(operand.get());
}

void IrHasher::AddInlineAssembly(const llvm::InlineAsm& assembly) {
  Add(kAssembly);
  AddType(assembly.getFunctionType());
  AddText(assembly.getAsmString());
  AddText(assembly.getConstraintString());
  Add(assembly.hasSideEffects());
  Add(assembly.isAlignStack());
  Add(assembly.getDialect());
  Add(assembly.canThrow());
}

void IrHasher::AddMetadata(const llvm::Metadata* metadata) {
  if (metadata == nullptr) return Add(kNothing);
  if (IsDebugNode(metadata)) return Add(kDebug);
  if (const auto* text = llvm::dyn_cast<llvm::MDString>(metadata)) {
    Add(kMetadataString);
    return AddText(text->getString());
  }
  if (const auto* value = llvm::dyn_cast<llvm::ValueAsMetadata>(metadata)) {
    return AddValue(value->getValue());
  }
  const auto* node = llvm::dyn_cast<llvm::MDTuple>(metadata);
  if (node == nullptr) {
    is_complete_ = false;
    return;
  }
  const auto [known, is_new] = nodes_.try_emplace(node, nodes_.size());
  Add(is_new ? kMetadataNode : kMetadataKnown);
  if (!is_new) return Add(known->second);
  Add(node->isDistinct());
  Add(node->getNumOperands());
  for (const llvm::MDOperand& operand : node->operands()) AddMetadata(operand.get());
}

void IrHasher::AddAttachments(const Attachments& attachments) {
  for (const auto& [kind, node] : attachments) {
    if (kind == llvm::LLVMContext::MD_dbg || kind_names_[kind] == kSourceLocation) continue;
    AddText(kind_names_[kind]);
    AddMetadata(node);
  }
  Add(kNothing);
}

void IrHasher::AddBody(const llvm::Function& function) {
  for (const llvm::Argument& argument : function.args()) {
    locals_.try_emplace(&argument, locals_.size());
  }
  for (const llvm::BasicBlock& block : function) {
    locals_.try_emplace(&block, locals_.size());
    for (const llvm::Instruction& instruction : block) {
      locals_.try_emplace(&instruction, locals_.size());
    }
  }
  AddOperands(function);  // personality, prefix and prologue
  for (const llvm::BasicBlock& block : function) {
    Add(block.size());
    for (const llvm::Instruction& instruction : block) AddInstruction(instruction);
  }
}

void IrHasher::AddInstruction(const llvm::Instruction& instruction) {
  Add(instruction.getOpcode());
  AddType(instruction.getType());
  Add(instruction.getRawSubclassOptionalData());
  AddOperands(instruction);
  if (const auto* call = llvm::dyn_cast<llvm::CallBase>(&instruction)) {
    AddCallState(*call);
  } else if (instruction.mayReadOrWriteMemory() || llvm::isa<llvm::AllocaInst>(instruction)) {
    AddMemoryState(instruction);
  } else {
    AddOtherState(instruction);
  }
  Attachments attachments;
  instruction.getAllMetadataOtherThanDebugLoc(attachments);
  AddAttachments(attachments);
}

void IrHasher::AddMemoryState(const llvm::Instruction& instruction) {
  if (const auto* alloca = llvm::dyn_cast<llvm::AllocaInst>(&instruction)) {
    AddType(alloca->getAllocatedType());
    Add(alloca->getAlign().value());
    Add(alloca->isUsedWithInAlloca());
    Add(alloca->isSwiftError());
  } else if (const auto* load = llvm::dyn_cast<llvm::LoadInst>(&instruction)) {
    Add(load->isVolatile());
    Add(load->getAlign().value());
    Add(static_cast<uint64_t>(load->getOrdering()));
    Add(load->getSyncScopeID());
  } else if (const auto* store = llvm::dyn_cast<llvm::StoreInst>(&instruction)) {
    Add(store->isVolatile());
    Add(store->getAlign().value());
    Add(static_cast<uint64_t>(store->getOrdering()));
    Add(store->getSyncScopeID());
  } else if (const auto* fence = llvm::dyn_cast<llvm::FenceInst>(&instruction)) {
    Add(static_cast<uint64_t>(fence->getOrdering()));
    Add(fence->getSyncScopeID());
  } else if (const auto* exchange = llvm::dyn_cast<llvm::AtomicCmpXchgInst>(&instruction)) {
    Add(exchange->isVolatile());
    Add(exchange->isWeak());
    Add(exchange->getAlign().value());
    Add(static_cast<uint64_t>(exchange->getSuccessOrdering()));
    Add(static_cast<uint64_t>(exchange->getFailureOrdering()));
    Add(exchange->getSyncScopeID());
  } else if (const auto* update = llvm::dyn_cast<llvm::AtomicRMWInst>(&instruction)) {
    Add(update->getOperation());
    Add(update->isVolatile());
    Add(update->getAlign().value());
    Add(static_cast<uint64_t>(update->getOrdering()));
    Add(update->getSyncScopeID());
  } else if (!llvm::isa<llvm::VAArgInst>(instruction)) {
    is_complete_ = false;
  }
}

void IrHasher::AddCallState(const llvm::CallBase& call) {
  AddType(call.getFunctionType());
  Add(call.getCallingConv());
  AddAttributes(call.getAttributes());
  if (const auto* plain = llvm::dyn_cast<llvm::CallInst>(&call)) Add(plain->getTailCallKind());
  Add(call.getNumOperandBundles());
  for (unsigned i = 0; i < call.getNumOperandBundles(); ++i) {
    const llvm::OperandBundleUse bundle = call.getOperandBundleAt(i);
    AddText(bundle.getTagName());
    Add(bundle.Inputs.size());
  }
}

void IrHasher::AddOtherState(const llvm::Instruction& instruction) {
  if (const auto* compare = llvm::dyn_cast<llvm::CmpInst>(&instruction)) {
    Add(compare->getPredicate());
  } else if (const auto* place = llvm::dyn_cast<llvm::GetElementPtrInst>(&instruction)) {
    AddType(place->getSourceElementType());
  } else if (const auto* phi = llvm::dyn_cast<llvm::PHINode>(&instruction)) {
    for (const llvm::BasicBlock* block : phi->blocks()) AddValue(block);
  } else if (const auto* extract = llvm::dyn_cast<llvm::ExtractValueInst>(&instruction)) {
    for (const unsigned index : extract->indices()) Add(index);
  } else if (const auto* insert = llvm::dyn_cast<llvm::InsertValueInst>(&instruction)) {
    for (const unsigned index : insert->indices()) Add(index);
  } else if (const auto* shuffle = llvm::dyn_cast<llvm::ShuffleVectorInst>(&instruction)) {
    for (const int element : shuffle->getShuffleMask()) Add(static_cast<uint32_t>(element));
  } else if (const auto* pad = llvm::dyn_cast<llvm::LandingPadInst>(&instruction)) {
    Add(pad->isCleanup());
    for (unsigned i = 0; i < pad->getNumClauses(); ++i) Add(pad->isCatch(i));
  } else if (instruction.isEHPad() || llvm::isa<llvm::CatchReturnInst>(instruction) ||
             llvm::isa<llvm::CleanupReturnInst>(instruction)) {
    is_complete_ = false;
  }
}

void IrHasher::AddGlobal(const llvm::GlobalValue& global) {
  mentions_.insert(&global);
  Add(kGlobal);
  if (!IsNameless(global)) return AddText(global.getName());
  const std::string& hash = Facts(global).hash;
  is_complete_ = is_complete_ && !hash.empty();
  AddText(hash);
}

const IrHasher::GlobalFacts& IrHasher::Facts(const llvm::GlobalValue& global) {
  std::unique_ptr<GlobalFacts>& entry = facts_[&global];
  if (entry != nullptr) return *entry;
  GlobalFacts& facts = *(entry = std::make_unique<GlobalFacts>());
  std::string text;
  bool is_complete = true;
  decltype(locals_) locals;
  decltype(nodes_) nodes;
  const auto swap_state = [&] {
    std::swap(text_, text);
    std::swap(is_complete_, is_complete);
    std::swap(locals_, locals);
    std::swap(nodes_, nodes);
    std::swap(mentions_, facts.mentions);
  };
  swap_state();
  DescribeGlobal(global);
  swap_state();
  if (is_complete) facts.hash = HashHex(text);
  return facts;
}

void IrHasher::DescribeGlobal(const llvm::GlobalValue& global) {
  AddText(IsNameless(global) ? llvm::StringRef() : global.getName());
  Add(global.getValueID());
  AddType(global.getValueType());
  Add(global.getLinkage());
  Add(global.getVisibility());
  Add(global.getThreadLocalMode());
  // That nobody in the module compares a function's address matters to no code generator, and
  // depends on what else is in the module.
  Add(llvm::isa<llvm::Function>(global) ? global.hasGlobalUnnamedAddr()
                                        : static_cast<uint64_t>(global.getUnnamedAddr()));
  Add(global.isDSOLocal());
  Add(global.getAddressSpace());
  Add(global.isDeclarationForLinker());
  if (const auto* object = llvm::dyn_cast<llvm::GlobalObject>(&global)) {
    AddText(object->getSection());
    AddText(object->hasComdat() ? object->getComdat()->getName() : llvm::StringRef());
    Attachments attachments;
    object->getAllMetadata(attachments);
    AddAttachments(attachments);
  }
  if (const auto* function = llvm::dyn_cast<llvm::Function>(&global)) {
    DescribeFunction(*function);
  } else if (const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(&global)) {
    DescribeVariable(*variable);
  } else if (const auto* alias = llvm::dyn_cast<llvm::GlobalAlias>(&global)) {
    AddConstant(*alias->getAliasee());
  } else {
    is_complete_ = false;
  }
}

void IrHasher::DescribeFunction(const llvm::Function& function) {
  Add(function.getCallingConv());
  Add(function.getAlign() ? function.getAlign()->value() : 0);
  AddAttributes(function.getAttributes());
  if (function.hasGC()) is_complete_ = false;
}

// Of mutable data, too: the initial value of a variable decides whether the edit is refused, which
// the comparison sees only in an object that has the variable.
void IrHasher::DescribeVariable(const llvm::GlobalVariable& variable) {
  Add(variable.isConstant());
  Add(variable.getAlign() ? variable.getAlign()->value() : 0);
  Add(variable.isExternallyInitialized());
  AddText(variable.getAttributes().getAsString());
  Add(variable.getCodeModel() ? static_cast<uint64_t>(*variable.getCodeModel()) + 1 : 0);
  Add(variable.hasInitializer());
  if (variable.hasInitializer()) AddConstant(*variable.getInitializer());
}

}  // namespace mend::patchc
