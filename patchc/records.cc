#include "patchc/records.h"

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>
#include <clang/AST/DeclCXX.h>
#include <clang/AST/RecordLayout.h>
#include <clang/AST/RecursiveASTVisitor.h>
#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/SourceManager.h>

#include <string>
#include <utility>

namespace mend::patchc {
namespace {

std::string RecordName(const clang::TagDecl& declaration, const clang::ASTContext& context) {
  const clang::PrintingPolicy policy(context.getLangOpts());
  std::string name;
  llvm::raw_string_ostream stream(name);
  if (declaration.getDeclName()) {
    declaration.getNameForDiagnostic(stream, policy, /*Qualified=*/true);
    return name;
  }
  if (const clang::TypedefNameDecl* alias = declaration.getTypedefNameForAnonDecl()) {
    alias->getNameForDiagnostic(stream, policy, /*Qualified=*/true);
    return name;
  }
  return {};
}

class LayoutVisitor : public clang::RecursiveASTVisitor<LayoutVisitor> {
 public:
  LayoutVisitor(clang::ASTContext& context, std::vector<RecordDescription>* records)
      : context_(context), records_(records) {}

  // Names follow RecursiveASTVisitor's.
  bool shouldVisitTemplateInstantiations() const { return true; }
  bool shouldWalkTypesOfTypeLocs() const { return false; }

  bool VisitRecordDecl(clang::RecordDecl* record) {
    if (!record->isCompleteDefinition() || record->isInvalidDecl() || record->isDependentType() ||
        IsInjected(*record) || IsSystem(*record)) {
      return true;
    }
    RecordDescription description;
    description.name = RecordName(*record, context_);
    // Members of unnamed ones are described with the record around them.
    if (description.name.empty()) return true;
    description.kind = record->getKindName().str();
    const clang::ASTRecordLayout& layout = context_.getASTRecordLayout(record);
    description.size_bytes = static_cast<uint64_t>(layout.getSize().getQuantity());
    description.alignment_bytes = static_cast<uint64_t>(layout.getAlignment().getQuantity());
    if (auto* class_record = llvm::dyn_cast<clang::CXXRecordDecl>(record)) {
      AddClassParts(*class_record, layout, description);
    }
    AddFields(*record, 0, description);
    records_->push_back(std::move(description));
    return true;
  }

  bool VisitEnumDecl(clang::EnumDecl* declaration) {
    if (!declaration->isCompleteDefinition() || declaration->isInvalidDecl() ||
        declaration->isDependentType() || IsSystem(*declaration)) {
      return true;
    }
    RecordDescription description;
    description.name = RecordName(*declaration, context_);
    if (description.name.empty()) return true;
    description.kind = "enum";
    const clang::QualType type = declaration->getIntegerType();
    description.size_bytes = static_cast<uint64_t>(context_.getTypeSizeInChars(type).getQuantity());
    description.alignment_bytes =
        static_cast<uint64_t>(context_.getTypeAlignInChars(type).getQuantity());
    for (const clang::EnumConstantDecl* enumerator : declaration->enumerators()) {
      FieldDescription field;
      field.name = enumerator->getNameAsString();
      field.type = llvm::toString(enumerator->getInitVal(), 10);
      description.fields.push_back(std::move(field));
    }
    records_->push_back(std::move(description));
    return true;
  }

 private:
  static bool IsInjected(const clang::RecordDecl& record) {
    const auto* class_record = llvm::dyn_cast<clang::CXXRecordDecl>(&record);
    return class_record != nullptr &&
           (class_record->isInjectedClassName() || class_record->isLambda());
  }

  bool IsSystem(const clang::Decl& declaration) const {
    const clang::SourceManager& sources = context_.getSourceManager();
    const clang::SourceLocation location = sources.getExpansionLoc(declaration.getLocation());
    return location.isInvalid() || sources.isInSystemHeader(location);
  }

  std::string TypeName(clang::QualType type) const {
    return type.getAsString(clang::PrintingPolicy(context_.getLangOpts()));
  }

  void AddBase(const clang::CXXRecordDecl& base, const char* kind, clang::CharUnits offset,
               RecordDescription& description) const {
    FieldDescription field;
    field.name = kind;
    field.type = RecordName(base, context_);
    field.offset_bits = static_cast<uint64_t>(context_.toBits(offset));
    field.size_bits = static_cast<uint64_t>(
        context_.toBits(context_.getASTRecordLayout(&base).getNonVirtualSize()));
    description.fields.push_back(std::move(field));
  }

  void AddClassParts(const clang::CXXRecordDecl& record, const clang::ASTRecordLayout& layout,
                     RecordDescription& description) const {
    if (layout.hasOwnVFPtr()) {
      FieldDescription field;
      field.name = "(vtable pointer)";
      field.size_bits = context_.getTypeSize(context_.VoidPtrTy);
      description.fields.push_back(std::move(field));
    }
    for (const clang::CXXBaseSpecifier& specifier : record.bases()) {
      const clang::CXXRecordDecl* base = specifier.getType()->getAsCXXRecordDecl();
      if (base == nullptr || specifier.isVirtual()) continue;
      AddBase(*base, "(base)", layout.getBaseClassOffset(base), description);
    }
    for (const clang::CXXBaseSpecifier& specifier : record.vbases()) {
      const clang::CXXRecordDecl* base = specifier.getType()->getAsCXXRecordDecl();
      if (base == nullptr) continue;
      AddBase(*base, "(virtual base)", layout.getVBaseClassOffset(base), description);
    }
    for (const clang::CXXMethodDecl* method : record.methods()) {
      if (!method->isVirtual()) continue;
      description.vtable.push_back(method->getNameAsString() + " " + TypeName(method->getType()));
    }
  }

  // Members of unnamed structs and unions count as the record's own.
  void AddFields(const clang::RecordDecl& record, uint64_t base_bits,
                 RecordDescription& description) const {
    const clang::ASTRecordLayout& layout = context_.getASTRecordLayout(&record);
    for (const clang::FieldDecl* member : record.fields()) {
      FieldDescription field;
      field.name = member->getNameAsString();
      field.type = TypeName(member->getType());
      field.offset_bits = base_bits + layout.getFieldOffset(member->getFieldIndex());
      field.size_bits = member->isBitField() ? member->getBitWidthValue()
                        : member->getType()->isIncompleteType()
                            ? 0
                            : context_.getTypeSize(member->getType());
      const clang::RecordDecl* inner = member->getType()->getAsRecordDecl();
      if (inner != nullptr && RecordName(*inner, context_).empty() &&
          inner->isCompleteDefinition()) {
        // The printed type would name the place in the source, which moves.
        field.type = "(unnamed " + inner->getKindName().str() + ")";
        const uint64_t offset_bits = field.offset_bits;
        description.fields.push_back(std::move(field));
        AddFields(*inner, offset_bits, description);
        continue;
      }
      description.fields.push_back(std::move(field));
    }
  }

  clang::ASTContext& context_;
  std::vector<RecordDescription>* records_;
};

class RecordCollector : public clang::ASTConsumer {
 public:
  explicit RecordCollector(std::vector<RecordDescription>* records) : records_(records) {}

  void HandleTranslationUnit(clang::ASTContext& context) override {
    if (context.getDiagnostics().hasErrorOccurred()) return;
    const clang::SourceManager& sources = context.getSourceManager();
    LayoutVisitor visitor(context, records_);
    // What a preamble holds (preamble_cache.h) stays there: it is the same as before.
    for (clang::Decl* declaration : context.getTranslationUnitDecl()->noload_decls()) {
      // A whole declaration of a system header is skipped at once: there are many.
      const clang::SourceLocation location = declaration->getLocation();
      if (location.isInvalid() || sources.isInSystemHeader(location)) continue;
      visitor.TraverseDecl(declaration);
    }
  }

 private:
  std::vector<RecordDescription>* records_;
};

}  // namespace

std::unique_ptr<clang::ASTConsumer> CreateRecordCollector(std::vector<RecordDescription>* records) {
  return std::make_unique<RecordCollector>(records);
}

}  // namespace mend::patchc
