#include "patchc/codegen/stack_switch.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/ADT/StringSet.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <string>

#include "runtime/format/stack_switch_names.h"

namespace mend::patchc {
namespace {

// An operand without spaces and the marks of AT&T's syntax, in lower case.
std::string Plain(llvm::StringRef operand) {
  std::string plain = operand.lower();
  llvm::erase_if(plain, [](char c) { return c == ' ' || c == '\t' || c == '%'; });
  return plain;
}

bool IsStackPointer(llvm::StringRef operand) { return operand == "rsp" || operand == "esp"; }

// One instruction. `operands`: in the order of Intel's syntax, the target first.
struct Instruction {
  std::string mnemonic;
  llvm::SmallVector<std::string, 4> operands;
};

// A comma in brackets does not separate operands.
llvm::SmallVector<std::string, 4> SplitOperands(llvm::StringRef text) {
  llvm::SmallVector<std::string, 4> operands;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && (text[i] == '(' || text[i] == '[')) ++depth;
    if (i < text.size() && (text[i] == ')' || text[i] == ']')) --depth;
    if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
    std::string operand = Plain(text.slice(begin, i));
    if (!operand.empty()) operands.push_back(std::move(operand));
    begin = i + 1;
  }
  return operands;
}

Instruction Parse(llvm::StringRef statement, bool is_intel) {
  // Labels, and what is behind a comment's mark.
  statement = statement.split('#').first.trim();
  for (size_t colon = statement.find(':');
       colon != llvm::StringRef::npos &&
       statement.take_front(colon).find_first_of(" \t%[(") == llvm::StringRef::npos;
       colon = statement.find(':')) {
    statement = statement.drop_front(colon + 1).trim();
  }
  const size_t end = std::min(statement.find_first_of(" \t"), statement.size());
  Instruction instruction;
  instruction.mnemonic = statement.take_front(end).lower();
  instruction.operands = SplitOperands(statement.drop_front(end));
  if (!is_intel) std::reverse(instruction.operands.begin(), instruction.operands.end());
  return instruction;
}

// Whether the operand is an address of the own stack, or is loaded from it. `own`: what was
// computed from the stack pointer.
bool IsOwn(llvm::StringRef operand, const llvm::StringSet<>& own) {
  if (own.contains(operand)) return true;
  const auto names = [operand](llvm::StringRef name) {
    for (size_t at = operand.find(name); at != llvm::StringRef::npos;
         at = operand.find(name, at + 1)) {
      const size_t end = at + name.size();
      if (end == operand.size() || !llvm::isAlnum(operand[end])) return true;
    }
    return false;
  };
  return names("rsp") || names("rbp") ||
         llvm::any_of(own, [&](const auto& entry) { return names(entry.getKey()); });
}

bool IsLoad(const Instruction& instruction, llvm::StringSet<>* own) {
  const llvm::StringRef mnemonic = instruction.mnemonic;
  const auto& operands = instruction.operands;
  if (mnemonic.starts_with("pop")) return operands.size() == 1 && IsStackPointer(operands[0]);
  if (operands.size() != 2) return false;
  if (mnemonic.starts_with("xchg")) {
    return IsStackPointer(operands[0]) || IsStackPointer(operands[1]);
  }
  if (!mnemonic.starts_with("mov") && !mnemonic.starts_with("lea") &&
      !mnemonic.starts_with("cmov")) {
    return false;
  }
  const bool from_own = IsOwn(operands[1], *own);
  if (IsStackPointer(operands[0])) return !from_own;
  if (from_own) {
    own->insert(operands[0]);
  } else {
    own->erase(operands[0]);
  }
  return false;
}

bool IsSwitch(const llvm::CallBase& call) {
  const auto* assembly = llvm::dyn_cast<llvm::InlineAsm>(call.getCalledOperand());
  if (assembly == nullptr) return false;
  const llvm::StringRef constraints = assembly->getConstraintString();
  // A variable that lives in the register.
  if (constraints.contains("={rsp}") || constraints.contains("={esp}")) return true;
  return patchc::LoadsStackPointer(assembly->getAsmString(),
                                   assembly->getDialect() == llvm::InlineAsm::AD_Intel);
}

// Set by a plain store, so that nothing else changes: neither flags nor calls.
void SetFlag(llvm::Function& function, llvm::ArrayRef<llvm::CallBase*> switches) {
  llvm::Module& module = *function.getParent();
  llvm::Type* const byte = llvm::Type::getInt8Ty(module.getContext());
  const std::string name = (kSwitchFlagPrefix + function.getName()).str();
  llvm::GlobalVariable* flag = module.getGlobalVariable(name, /*AllowInternal=*/true);
  if (flag == nullptr) {
    flag = new llvm::GlobalVariable(module, byte, /*isConstant=*/false,
                                    llvm::GlobalValue::InternalLinkage,
                                    llvm::ConstantInt::get(byte, 0), name);
  }
  for (llvm::CallBase* const call : switches) {
    llvm::IRBuilder<> builder(call);
    builder.CreateStore(llvm::ConstantInt::get(byte, 1), flag, /*isVolatile=*/true);
  }
}

}  // namespace

bool LoadsStackPointer(llvm::StringRef assembly, bool is_intel) {
  llvm::StringSet<> own;
  llvm::SmallVector<llvm::StringRef, 16> lines;
  assembly.split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (const llvm::StringRef line : lines) {
    llvm::SmallVector<llvm::StringRef, 4> statements;
    line.split(statements, ';', -1, /*KeepEmpty=*/false);
    for (const llvm::StringRef statement : statements) {
      if (IsLoad(Parse(statement, is_intel), &own)) return true;
    }
  }
  return false;
}

llvm::PreservedAnalyses StackSwitchPass::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  bool changed = false;
  for (llvm::Function& function : module) {
    if (function.isDeclarationForLinker() || function.hasFnAttribute(llvm::Attribute::Naked)) {
      continue;
    }
    llvm::SmallVector<llvm::CallBase*, 4> switches;
    for (llvm::BasicBlock& block : function) {
      for (llvm::Instruction& instruction : block) {
        auto* const call = llvm::dyn_cast<llvm::CallBase>(&instruction);
        if (call != nullptr && call->isInlineAsm() && IsSwitch(*call)) switches.push_back(call);
      }
    }
    if (switches.empty()) continue;
    SetFlag(function, switches);
    changed = true;
  }
  return changed ? llvm::PreservedAnalyses::none() : llvm::PreservedAnalyses::all();
}

}  // namespace mend::patchc
