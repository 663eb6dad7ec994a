// IrHasher: a hash of all that code generation reads of a function: its optimised IR, the
// attributes of what it refers to, the contents of the constants and variables behind these.
//
// Equal hashes mean equal IR, so the machine code that was once generated for the one is right for
// the other. Names of local values, debug information and the numbering of private constants do not
// count. What makes up an instruction is what Instruction::hasSameSpecialState compares, with the
// metadata and the incoming blocks of phis; an instruction or constant of an unknown kind makes a
// function that has no hash, never an incomplete one.
//
// For one module, which must not change between the calls. Not thread-safe.
#ifndef MEND_PATCHC_CODEGEN_IR_HASH_H_
#define MEND_PATCHC_CODEGEN_IR_HASH_H_

#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/SetVector.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/IR/Attributes.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Metadata.h>
#include <llvm/IR/Module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace mend::patchc {

class IrHasher {
 public:
  explicit IrHasher(const llvm::Module& module);

  // Hex; the empty string for a function that has no hash.
  std::string Hash(const llvm::Function& function);

 private:
  using Attachments = llvm::SmallVector<std::pair<unsigned, llvm::MDNode*>, 4>;
  // What a global is, apart from a function's body.
  struct GlobalFacts {
    std::string hash;  // empty while it is computed, and when something is unknown
    llvm::SetVector<const llvm::GlobalValue*> mentions;
  };

  void Add(uint64_t number);
  void AddText(llvm::StringRef text);
  void AddType(llvm::Type* type);
  std::string EncodeType(llvm::Type* type);
  void AddAttributes(const llvm::AttributeList& attributes);
  std::string EncodeAttributes(const llvm::AttributeList& attributes);
  void AddValue(const llvm::Value* value);
  void AddConstant(const llvm::Constant& constant);
  void AddOperands(const llvm::User& user);
  void AddInlineAssembly(const llvm::InlineAsm& assembly);
  void AddMetadata(const llvm::Metadata* metadata);
  void AddAttachments(const Attachments& attachments);
  void AddInstruction(const llvm::Instruction& instruction);
  void AddMemoryState(const llvm::Instruction& instruction);
  void AddCallState(const llvm::CallBase& call);
  void AddOtherState(const llvm::Instruction& instruction);
  void AddBody(const llvm::Function& function);
  // Mentions a global; what it is counts through its facts.
  void AddGlobal(const llvm::GlobalValue& global);
  const GlobalFacts& Facts(const llvm::GlobalValue& global);
  void DescribeGlobal(const llvm::GlobalValue& global);
  void DescribeFunction(const llvm::Function& function);
  void DescribeVariable(const llvm::GlobalVariable& variable);

  llvm::SmallVector<llvm::StringRef, 64> kind_names_;  // of metadata, by number
  std::string prologue_;                               // of the whole module
  llvm::DenseMap<llvm::Type*, std::string> types_;
  llvm::DenseMap<void*, std::string> attributes_;
  llvm::DenseMap<const llvm::GlobalValue*, std::unique_ptr<GlobalFacts>> facts_;

  // Of the function or global being hashed.
  std::string text_;
  bool is_complete_ = true;
  llvm::DenseMap<const llvm::Value*, uint64_t> locals_;
  llvm::SetVector<const llvm::GlobalValue*> mentions_;
  llvm::DenseMap<const llvm::Metadata*, uint64_t> nodes_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_IR_HASH_H_
