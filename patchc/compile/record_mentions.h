// Which types of a unit have to do with a record, and how: what frame_records.cc asks of every
// declaration and expression.
#ifndef MEND_PATCHC_COMPILE_RECORD_MENTIONS_H_
#define MEND_PATCHC_COMPILE_RECORD_MENTIONS_H_

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>
#include <clang/AST/Expr.h>
#include <llvm/ADT/ArrayRef.h>
#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/SmallPtrSet.h>

#include <string>

namespace clang {
class TemplateArgument;
}  // namespace clang

namespace mend::patchc {

bool IsInSystemHeader(const clang::ASTContext& context, const clang::Decl& declaration);

// System headers know nothing of a program's records but by templates, and who uses one for such
// a record names both.
template <typename Traverse>
void ForEachOwnDeclaration(clang::ASTContext& context, Traverse traverse) {
  for (clang::Decl* declaration : context.getTranslationUnitDecl()->decls()) {
    if (IsInSystemHeader(context, *declaration)) continue;
    if (!traverse(declaration)) return;
  }
}

struct RecordDefinitions {
  // With the unnamed records in them, which have no other description.
  llvm::SmallPtrSet<const clang::RecordDecl*, 4> definitions;
  // Whether one is in a header: other units may have it, those of guest modules too.
  bool is_shared = false;
};

RecordDefinitions FindRecord(clang::ASTContext& context, const std::string& name);

// How a type has to do with the record.
enum class Mention {
  kNone,
  kValue,
  kArray,    // of values
  kPointer,  // or reference, to a value
  kOther,    // in any other way
};

// What a template's member is initialised with, `m_(x, 1)`, has no type before it is instantiated.
inline bool HasKnownType(const clang::Expr& expression) {
  return !expression.isTypeDependent() && !expression.getType().isNull();
}

class RecordMentions {
 public:
  // `found` must outlive it.
  explicit RecordMentions(const RecordDefinitions& found) : found_(found) {}

  bool IsTarget(const clang::RecordDecl& record) const {
    return found_.definitions.contains(llvm::cast<clang::RecordDecl>(record.getCanonicalDecl()));
  }
  Mention In(clang::QualType spelled);

 private:
  Mention Find(const clang::Type& type);
  Mention InRecord(const clang::RecordDecl& record);
  bool AreInArguments(llvm::ArrayRef<clang::TemplateArgument> arguments);
  bool IsInPartOf(const clang::Type& type);

  const RecordDefinitions& found_;
  llvm::DenseMap<const clang::Type*, Mention> mentions_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_RECORD_MENTIONS_H_
