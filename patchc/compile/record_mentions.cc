#include "patchc/compile/record_mentions.h"

#include <clang/AST/DeclCXX.h>
#include <clang/AST/DeclTemplate.h>
#include <clang/AST/DynamicRecursiveASTVisitor.h>
#include <clang/Basic/SourceManager.h>

#include <utility>

#include "patchc/compile/records.h"

namespace mend::patchc {
namespace {

class DefinitionFinder : public clang::DynamicRecursiveASTVisitor {
 public:
  DefinitionFinder(clang::ASTContext& context, const std::string& name)
      : context_(context), name_(name) {
    ShouldVisitTemplateInstantiations = true;
  }

  bool VisitRecordDecl(clang::RecordDecl* record) override {
    if (record->isCompleteDefinition() && RecordName(*record, context_) == name_) {
      found_.is_shared = found_.is_shared ||
                         !context_.getSourceManager().isInMainFile(
                             context_.getSourceManager().getExpansionLoc(record->getLocation()));
      Add(*record);
    }
    return true;
  }

  RecordDefinitions& found() { return found_; }

 private:
  void Add(const clang::RecordDecl& record) {
    const auto* const first = llvm::cast<clang::RecordDecl>(record.getCanonicalDecl());
    if (!found_.definitions.insert(first).second) return;
    for (const clang::FieldDecl* field : record.fields()) {
      clang::QualType type = field->getType();
      while (type->isArrayType() || type->isPointerType()) {
        const clang::ArrayType* array = context_.getAsArrayType(type);
        type = array == nullptr ? type->getPointeeType() : array->getElementType();
      }
      const clang::RecordDecl* inner = type->getAsRecordDecl();
      if (inner != nullptr && RecordName(*inner, context_).empty()) Add(*inner);
    }
  }

  clang::ASTContext& context_;
  const std::string& name_;
  RecordDefinitions found_;
};

}  // namespace

bool IsInSystemHeader(const clang::ASTContext& context, const clang::Decl& declaration) {
  const clang::SourceManager& sources = context.getSourceManager();
  return sources.isInSystemHeader(sources.getExpansionLoc(declaration.getLocation()));
}

RecordDefinitions FindRecord(clang::ASTContext& context, const std::string& name) {
  DefinitionFinder finder(context, name);
  ForEachOwnDeclaration(context, [&](clang::Decl* each) { return finder.TraverseDecl(each); });
  return std::move(finder.found());
}

Mention RecordMentions::In(clang::QualType spelled) {
  const clang::Type* const type = spelled.getCanonicalType().getTypePtr();
  const auto known = mentions_.find(type);
  if (known != mentions_.end()) return known->second;
  const Mention mention = Find(*type);
  mentions_[type] = mention;
  return mention;
}

Mention RecordMentions::Find(const clang::Type& type) {
  if (type.isPointerType() || type.isReferenceType() || type.isBlockPointerType()) {
    const Mention pointee = In(type.getPointeeType());
    if (pointee == Mention::kNone) return pointee;
    return pointee == Mention::kValue ? Mention::kPointer : Mention::kOther;
  }
  if (const auto* array = llvm::dyn_cast<clang::ArrayType>(&type)) {
    const Mention element = In(array->getElementType());
    if (element == Mention::kNone) return element;
    const bool has_values = element == Mention::kValue || element == Mention::kArray;
    return has_values ? Mention::kArray : Mention::kOther;
  }
  if (const auto* record = type.getAsRecordDecl()) return InRecord(*record);
  return IsInPartOf(type) ? Mention::kOther : Mention::kNone;
}

Mention RecordMentions::InRecord(const clang::RecordDecl& record) {
  if (IsTarget(record)) return Mention::kValue;
  // Of the record itself and of those around it.
  const clang::DeclContext* context = &record;
  for (; context != nullptr; context = context->getParent()) {
    const auto* instance = llvm::dyn_cast<clang::ClassTemplateSpecializationDecl>(context);
    if (instance != nullptr && AreInArguments(instance->getTemplateArgs().asArray())) {
      return Mention::kOther;
    }
  }
  return Mention::kNone;
}

bool RecordMentions::AreInArguments(llvm::ArrayRef<clang::TemplateArgument> arguments) {
  for (const clang::TemplateArgument& argument : arguments) {
    switch (argument.getKind()) {
      case clang::TemplateArgument::Type:
        if (In(argument.getAsType()) != Mention::kNone) return true;
        break;
      case clang::TemplateArgument::Declaration:
        if (In(argument.getAsDecl()->getType()) != Mention::kNone ||
            In(argument.getParamTypeForDecl()) != Mention::kNone) {
          return true;
        }
        break;
      case clang::TemplateArgument::Pack:
        if (AreInArguments(argument.getPackAsArray())) return true;
        break;
      case clang::TemplateArgument::NullPtr:
        if (In(argument.getNullPtrType()) != Mention::kNone) return true;
        break;
      case clang::TemplateArgument::StructuralValue:
        // It may lead to anything; nobody's server needs it.
        if (In(argument.getStructuralValueType()) != Mention::kNone) return true;
        break;
      default:
        break;
    }
  }
  return false;
}

// For types that are neither pointers nor arrays nor records.
bool RecordMentions::IsInPartOf(const clang::Type& type) {
  if (const auto* function = llvm::dyn_cast<clang::FunctionType>(&type)) {
    if (In(function->getReturnType()) != Mention::kNone) return true;
    const auto* prototype = llvm::dyn_cast<clang::FunctionProtoType>(function);
    if (prototype == nullptr) return false;
    for (const clang::QualType parameter : prototype->param_types()) {
      if (In(parameter) != Mention::kNone) return true;
    }
    return false;
  }
  if (const auto* member = llvm::dyn_cast<clang::MemberPointerType>(&type)) {
    const clang::CXXRecordDecl* const record = member->getMostRecentCXXRecordDecl();
    return (record != nullptr && InRecord(*record) != Mention::kNone) ||
           In(member->getPointeeType()) != Mention::kNone;
  }
  if (const auto* atomic = llvm::dyn_cast<clang::AtomicType>(&type)) {
    return In(atomic->getValueType()) != Mention::kNone;
  }
  return false;
}

}  // namespace mend::patchc
