#include "patchc/compile/static_blocks.h"

#include <clang/AST/DeclCXX.h>
#include <clang/AST/Expr.h>
#include <clang/AST/PrettyPrinter.h>
#include <llvm/Support/raw_ostream.h>

namespace mend::patchc {
namespace {

const clang::DeclContext* FunctionAround(const clang::VarDecl& variable) {
  const clang::DeclContext* context = variable.getParentFunctionOrMethod();
  while (context != nullptr) {
    const auto* method = llvm::dyn_cast<clang::CXXMethodDecl>(context);
    if (method == nullptr || !method->getParent()->isLambda()) break;
    context = method->getParent()->getParentFunctionOrMethod();
  }
  return context;
}

}  // namespace

// As far as code generation sees it, which makes no variable where it generates no code.
bool StaticBlocks::IsReached() const {
  for (size_t i = 0; i + 1 < statements_.size(); ++i) {
    const auto* choice = llvm::dyn_cast<clang::IfStmt>(statements_[i]);
    if (choice == nullptr || choice->getCond() == nullptr) continue;
    clang::Expr::EvalResult value;
    const clang::Expr& condition = *choice->getCond();
    if (condition.isValueDependent() || !condition.EvaluateAsInt(value, context_)) continue;
    const clang::Stmt* const skipped =
        value.Val.getInt().getBoolValue() ? choice->getElse() : choice->getThen();
    if (statements_[i + 1] == skipped) return false;
  }
  return true;
}

void StaticBlocks::Add(const clang::VarDecl& variable, std::string name) {
  Static described{.variable = &variable, .name = std::move(name)};
  for (auto statement = statements_.rbegin(); statement != statements_.rend(); ++statement) {
    described.block = *statement;
    if (llvm::isa<clang::CompoundStmt>(*statement)) break;
  }
  described.is_reached = IsReached();
  groups_[{FunctionAround(variable), variable.getNameAsString()}].push_back(std::move(described));
}

void StaticBlocks::Describe(const SymbolOf& symbol_of,
                            std::vector<RecordDescription>& records) const {
  clang::PrintingPolicy policy(context_.getLangOpts());
  policy.AnonymousTagLocations = false;
  for (const auto& [group, statics] : groups_) {
    if (statics.size() < 2) continue;
    for (const Static& described : statics) {
      FieldDescription block;
      block.name = described.is_reached ? "reached" : "skipped";
      llvm::raw_string_ostream stream(block.type);
      if (described.block != nullptr) described.block->printPretty(stream, nullptr, policy);
      RecordDescription record;
      const bool is_of_lambda = described.variable->getParentFunctionOrMethod() != group.first;
      record.name = is_of_lambda ? symbol_of(described.variable) : described.name;
      record.kind = "static";
      record.fields.push_back(std::move(block));
      records.push_back(std::move(record));
    }
  }
}

}  // namespace mend::patchc
