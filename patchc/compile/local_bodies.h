// What only numbers tell apart: the lambdas of a function, or outside of all functions, and a
// function's classes of one name. Code generation counts them in the order in which it comes upon
// them, which another use of one changes as well as another lambda does.
#ifndef MEND_PATCHC_COMPILE_LOCAL_BODIES_H_
#define MEND_PATCHC_COMPILE_LOCAL_BODIES_H_

#include <clang/AST/Decl.h>
#include <clang/AST/DeclCXX.h>
#include <clang/AST/ExprCXX.h>
#include <llvm/ADT/MapVector.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "patchc/compile/static_blocks.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

// The visitor of a unit's syntax tree tells it of them, in the order of the source. Thread safety:
// none.
class LocalBodies {
 public:
  // `function` is null outside of functions.
  void AddLambda(const clang::LambdaExpr& lambda, const clang::FunctionDecl* function,
                 std::string text);
  void AddClass(const clang::CXXRecordDecl& local, const clang::FunctionDecl& function,
                std::string text);

  // Whether there are any to describe.
  bool AreSeveral() const;
  // Adds a record of the kind "body" for each that is not alone, in the order of their symbols.
  // REQUIRES: code has been generated, and the syntax tree is still there.
  void Describe(const clang::ASTContext& context, const SymbolOf& symbol_of,
                std::vector<RecordDescription>& records) const;

 private:
  struct Body {
    std::string text;
    const clang::FunctionDecl* code = nullptr;  // a function whose symbol has the number, if any
    bool is_lambda = false;
  };
  // The function around it and the name of the class, none for lambdas.
  using Place = std::pair<const clang::FunctionDecl*, std::string>;

  static std::vector<Body> InOrderOfSymbols(const std::vector<Body>& bodies,
                                            const SymbolOf& symbol_of);

  llvm::MapVector<Place, std::vector<Body>, std::map<Place, unsigned>> groups_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_LOCAL_BODIES_H_
