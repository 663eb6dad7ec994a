#include "patchc/compile/block_literals.h"

#include <algorithm>
#include <utility>

namespace mend::patchc {
namespace {

const clang::BlockDecl* BlockOf(const clang::Expr* expression) {
  if (expression == nullptr) return nullptr;
  const auto* literal = llvm::dyn_cast<clang::BlockExpr>(expression->IgnoreImplicit());
  return literal == nullptr ? nullptr : literal->getBlockDecl();
}

}  // namespace

void BlockLiterals::Add(const clang::BlockDecl& block, const clang::FunctionDecl& function) {
  if (!added_.insert(&block).second) return;
  std::vector<const clang::BlockDecl*>& blocks = blocks_[&function];
  if (blocks.empty()) functions_.push_back(&function);
  blocks.push_back(&block);
  // A copy of the block copies the blocks that it captures.
  for (const clang::BlockDecl::Capture& capture : block.captures()) {
    ++other_uses_[capture.getVariable()];
  }
}

void BlockLiterals::AddVariable(const clang::VarDecl& variable) {
  if (!context_.getLangOpts().Blocks || !variable.hasLocalStorage()) return;
  if (const clang::BlockDecl* block = BlockOf(variable.getInit())) variables_[block] = &variable;
}

void BlockLiterals::AddUse(const clang::DeclRefExpr& use) {
  if (!context_.getLangOpts().Blocks) return;
  if (const auto* variable = llvm::dyn_cast<clang::VarDecl>(use.getDecl())) {
    ++other_uses_[variable];
  }
}

void BlockLiterals::AddCall(const clang::CallExpr& call) {
  if (!context_.getLangOpts().Blocks) return;
  const clang::Expr* callee = call.getCallee()->IgnoreParenImpCasts();
  if (const auto* use = llvm::dyn_cast<clang::DeclRefExpr>(callee)) {
    if (const auto* variable = llvm::dyn_cast<clang::VarDecl>(use->getDecl())) {
      --other_uses_[variable];
    }
  }
  if (const clang::BlockDecl* block = BlockOf(callee)) called_.insert(block);
}

bool BlockLiterals::MayOutliveFrame(const clang::BlockDecl& block) const {
  if (block.doesNotEscape() || called_.contains(&block)) return false;
  const auto variable = variables_.find(&block);
  if (variable == variables_.end()) return true;
  const auto uses = other_uses_.find(variable->second);
  return uses != other_uses_.end() && uses->second != 0;
}

std::string BlockLiterals::Printed(const clang::BlockDecl& block) const {
  clang::PrintingPolicy policy(context_.getLangOpts());
  policy.AnonymousTagLocations = false;
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (const clang::ParmVarDecl* parameter : block.parameters()) {
    parameter->print(stream, policy);
    stream << "; ";
  }
  block.getBody()->printPretty(stream, nullptr, policy);
  return text;
}

void BlockLiterals::Describe(
    const std::function<std::string(const clang::FunctionDecl&)>& symbol_of,
    const AddCapture& add_capture, std::vector<RecordDescription>& records) const {
  for (const clang::FunctionDecl* function : functions_) {
    const std::vector<const clang::BlockDecl*>& blocks = blocks_.at(function);
    const bool any_may_outlive =
        std::any_of(blocks.begin(), blocks.end(),
                    [this](const clang::BlockDecl* block) { return MayOutliveFrame(*block); });
    if (!any_may_outlive) continue;
    for (const clang::BlockDecl* block : blocks) {
      RecordDescription description;
      description.name = symbol_of(*function);
      description.kind = "block";
      description.initializer = Printed(*block);
      for (const clang::BlockDecl::Capture& capture : block->captures()) {
        add_capture(capture.getVariable()->getNameAsString(), capture.getVariable()->getType(),
                    description);
      }
      records.push_back(std::move(description));
    }
  }
}

}  // namespace mend::patchc
