// StaticBlocks: what tells a function's static variables of one name apart, for whom the number
// that the compiler gives them says no more than in which order they stand.
#ifndef MEND_PATCHC_COMPILE_STATIC_BLOCKS_H_
#define MEND_PATCHC_COMPILE_STATIC_BLOCKS_H_

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>
#include <clang/AST/GlobalDecl.h>
#include <clang/AST/Stmt.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/format/object_description.h"

namespace mend::patchc {

// The symbol of a variable or function, as code generation has it.
using SymbolOf = std::function<std::string(clang::GlobalDecl declaration)>;

// The visitor of a unit's syntax tree tells it of each statement that it is in, and of each static
// variable of a function. Thread safety: none.
class StaticBlocks {
 public:
  explicit StaticBlocks(const clang::ASTContext& context) : context_(context) {}

  void Enter(const clang::Stmt* statement) { statements_.push_back(statement); }
  void Leave() { statements_.pop_back(); }
  void Add(const clang::VarDecl& variable, std::string name);
  // Adds a record of the kind "static" for each that shares its name with others, called as the
  // variable is described, or by its symbol if it is a lambda's: code generation numbers lambdas in
  // the order of their use. Its only field is named "reached" or "skipped", as code generation
  // takes the block that the variable stands in; its type is that block.
  void Describe(const SymbolOf& symbol_of, std::vector<RecordDescription>& records) const;

 private:
  struct Static {
    const clang::VarDecl* variable = nullptr;
    std::string name;
    const clang::Stmt* block = nullptr;
    bool is_reached = true;
  };
  // The function outside of all lambdas, and the variable's name.
  using Group = std::pair<const clang::DeclContext*, std::string>;

  bool IsReached() const;

  const clang::ASTContext& context_;
  std::vector<const clang::Stmt*> statements_;
  std::map<Group, std::vector<Static>> groups_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_STATIC_BLOCKS_H_
