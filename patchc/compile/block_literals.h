// BlockLiterals: blocks (-fblocks) of functions that may outlive the frame that they were made in.
#ifndef MEND_PATCHC_COMPILE_BLOCK_LITERALS_H_
#define MEND_PATCHC_COMPILE_BLOCK_LITERALS_H_

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>
#include <clang/AST/Expr.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/format/object_description.h"

namespace mend::patchc {

// The visitor of a unit's syntax tree tells it of all that is named below. Thread safety: none.
class BlockLiterals {
 public:
  // Appends a captured variable to the description.
  using AddCapture =
      std::function<void(const std::string& name, clang::QualType type, RecordDescription& block)>;

  explicit BlockLiterals(const clang::ASTContext& context) : context_(context) {}

  void Add(const clang::BlockDecl& block, const clang::FunctionDecl& function);
  void AddVariable(const clang::VarDecl& variable);
  void AddUse(const clang::DeclRefExpr& use);
  void AddCall(const clang::CallExpr& call);
  // Adds a record of the kind "block" for each block of a function of which at least one may be
  // copied (Block_copy). Others are only called, or run at the end of a variable's scope, so that
  // the frame of the function is there as long as they are. The records are in the order of the
  // source, which is all that the blocks' symbols tell.
  void Describe(const std::function<std::string(const clang::FunctionDecl&)>& symbol_of,
                const AddCapture& add_capture, std::vector<RecordDescription>& records) const;

 private:
  bool MayOutliveFrame(const clang::BlockDecl& block) const;
  std::string Printed(const clang::BlockDecl& block) const;

  const clang::ASTContext& context_;
  std::vector<const clang::FunctionDecl*> functions_;  // in the order of the source
  std::map<const clang::FunctionDecl*, std::vector<const clang::BlockDecl*>> blocks_;
  std::set<const clang::BlockDecl*> added_;
  std::set<const clang::BlockDecl*> called_;                            // where they stand
  std::map<const clang::BlockDecl*, const clang::VarDecl*> variables_;  // that they initialise
  std::map<const clang::VarDecl*, int> other_uses_;  // of a variable, than calls of it
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_BLOCK_LITERALS_H_
