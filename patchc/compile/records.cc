#include "patchc/compile/records.h"

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>
#include <clang/AST/DeclCXX.h>
#include <clang/AST/DeclTemplate.h>
#include <clang/AST/DynamicRecursiveASTVisitor.h>
#include <clang/AST/ExprCXX.h>
#include <clang/AST/Mangle.h>
#include <clang/AST/RecordLayout.h>
#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/SourceManager.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/Support/xxhash.h>

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/compile/block_literals.h"

namespace mend::patchc {

namespace {

// With what tells overloads and instances of a template apart.
std::string FunctionName(const clang::FunctionDecl& function, const clang::ASTContext& context) {
  clang::PrintingPolicy policy(context.getLangOpts());
  policy.AnonymousTagLocations = false;
  std::string name;
  llvm::raw_string_ostream stream(name);
  function.getNameForDiagnostic(stream, policy, /*Qualified=*/true);
  if (!context.getLangOpts().CPlusPlus) return name;
  stream << "(";
  llvm::interleaveComma(function.parameters(), stream, [&](const clang::ParmVarDecl* parameter) {
    parameter->getType().print(stream, policy);
  });
  stream << ")";
  return name;
}

}  // namespace

std::string RecordName(const clang::TagDecl& declaration, const clang::ASTContext& context) {
  const clang::NamedDecl* named = &declaration;
  if (!declaration.getDeclName()) named = declaration.getTypedefNameForAnonDecl();
  if (named == nullptr) return {};
  std::string name;
  llvm::raw_string_ostream stream(name);
  const clang::PrintingPolicy policy(context.getLangOpts());
  // Clang leaves out the function that a name is local to.
  if (const auto* function = llvm::dyn_cast<clang::FunctionDecl>(named->getDeclContext())) {
    stream << FunctionName(*function, context) << "::";
  }
  named->getNameForDiagnostic(stream, policy, /*Qualified=*/true);
  return name;
}

namespace {

// What std::atomic<T> holds a T as; a null type for anything else.
clang::QualType ValueOfStdAtomic(const clang::RecordDecl& record) {
  const auto* instance = llvm::dyn_cast<clang::ClassTemplateSpecializationDecl>(&record);
  if (instance == nullptr || !instance->isInStdNamespace() || instance->getName() != "atomic") {
    return {};
  }
  return instance->getTemplateArgs()[0].getAsType();
}

class LayoutVisitor : public clang::DynamicRecursiveASTVisitor {
 public:
  LayoutVisitor(clang::ASTContext& context, ObjectDescription* description, LocalBodies* bodies)
      : context_(context),
        names_(context),
        statics_(context),
        blocks_(context),
        bodies_(bodies),
        description_(description) {
    ShouldVisitTemplateInstantiations = true;
    ShouldWalkTypesOfTypeLocs = false;
  }

  // When all declarations have been visited.
  void Finish(const SymbolOf& symbol_of) {
    statics_.Describe(symbol_of, description_->records);
    DescribeBlocks();
  }

  bool dataTraverseStmtPre(clang::Stmt* statement) override {
    statics_.Enter(statement);
    return true;
  }
  bool dataTraverseStmtPost(clang::Stmt* /*statement*/) override {
    statics_.Leave();
    return true;
  }

  bool VisitRecordDecl(clang::RecordDecl* record) override {
    if (!record->isCompleteDefinition() || record->isInvalidDecl() || record->isDependentType() ||
        IsInjected(*record) || IsSystem(*record)) {
      return true;
    }
    AddLocalClass(*record);
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
    AddFields(*record, 0, "", description);
    description_->records.push_back(std::move(description));
    return true;
  }

  bool VisitBlockDecl(clang::BlockDecl* block) override {
    if (block->isDependentContext() || IsSystem(*block)) return true;
    if (const clang::FunctionDecl* function = FunctionAround(block->getDeclContext())) {
      blocks_.Add(*block, *function);
    }
    return true;
  }

  bool VisitDeclRefExpr(clang::DeclRefExpr* use) override {
    blocks_.AddUse(*use);
    return true;
  }

  bool VisitCallExpr(clang::CallExpr* call) override {
    blocks_.AddCall(*call);
    return true;
  }

  bool VisitVarDecl(clang::VarDecl* variable) override {
    blocks_.AddVariable(*variable);
    if (!variable->hasGlobalStorage() ||
        variable->isThisDeclarationADefinition() == clang::VarDecl::DeclarationOnly ||
        variable->isInvalidDecl() || variable->getType()->isDependentType() ||
        variable->getType()->isIncompleteType() ||
        variable->getDeclContext()->isDependentContext() || IsSystem(*variable) ||
        IsConstant(*variable) || !variables_.insert(variable->getCanonicalDecl()).second) {
      return true;
    }
    RecordDescription description;
    description.name = VariableName(*variable);
    description.kind = "variable";
    description.size_bytes =
        static_cast<uint64_t>(context_.getTypeSizeInChars(variable->getType()).getQuantity());
    AddMember({"", variable->getType(), 0}, description);
    if (variable->isStaticLocal() && variable->hasInit() &&
        !variable->hasConstantInitialization()) {
      description.initializer = HashOf(*variable->getInit());
    }
    if (variable->isStaticLocal()) statics_.Add(*variable, description.name);
    description_->variables.push_back(std::move(description));
    return true;
  }

  bool VisitLambdaExpr(clang::LambdaExpr* lambda) override {
    const clang::CXXRecordDecl* closure = lambda->getLambdaClass();
    if (closure->isDependentContext() || IsSystem(*closure) || !closures_.insert(closure).second) {
      return true;
    }
    const clang::FunctionDecl* function = FunctionAround(closure->getDeclContext());
    bodies_->AddLambda(*lambda, function, Printed(*lambda));
    if (function == nullptr || lambda->capture_size() == 0) return true;
    RecordDescription description;
    description.name = names_.getName(function);
    description.kind = "lambda";
    const clang::ASTRecordLayout& layout = context_.getASTRecordLayout(closure);
    description.size_bytes = static_cast<uint64_t>(layout.getSize().getQuantity());
    description.alignment_bytes = static_cast<uint64_t>(layout.getAlignment().getQuantity());
    auto capture = lambda->capture_begin();
    for (const clang::FieldDecl* field : closure->fields()) {
      const std::string name = capture->capturesVariable()
                                   ? capture->getCapturedVar()->getNameAsString()
                                   : std::string("this");
      AddMember({name, field->getType(), layout.getFieldOffset(field->getFieldIndex())},
                description);
      ++capture;
    }
    description_->records.push_back(std::move(description));
    return true;
  }

  bool VisitEnumDecl(clang::EnumDecl* declaration) override {
    if (!declaration->isCompleteDefinition() || declaration->isInvalidDecl() ||
        declaration->isDependentType() || IsSystem(*declaration)) {
      return true;
    }
    RecordDescription description;
    description.name = RecordName(*declaration, context_);
    if (description.name.empty()) {
      AddUnnamedEnum(*declaration);
      return true;
    }
    description.kind = "enum";
    const clang::QualType type = declaration->getIntegerType();
    description.size_bytes = static_cast<uint64_t>(context_.getTypeSizeInChars(type).getQuantity());
    description.alignment_bytes =
        static_cast<uint64_t>(context_.getTypeAlignInChars(type).getQuantity());
    for (const clang::EnumConstantDecl* enumerator : declaration->enumerators()) {
      description.fields.push_back(DescribeEnumerator(*enumerator));
    }
    description_->records.push_back(std::move(description));
    return true;
  }

  bool VisitFileScopeAsmDecl(clang::FileScopeAsmDecl* assembler) override {
    RecordDescription description;
    description.name =
        absl::StrCat("assembler ", absl::Hex(llvm::xxh3_64bits(assembler->getAsmString())));
    description.kind = "assembler";
    description_->records.push_back(std::move(description));
    return true;
  }

 private:
  static FieldDescription DescribeEnumerator(const clang::EnumConstantDecl& enumerator) {
    FieldDescription field;
    field.name = enumerator.getNameAsString();
    field.type = llvm::toString(enumerator.getInitVal(), 10);
    return field;
  }

  clang::PrintingPolicy Policy() const {
    clang::PrintingPolicy policy(context_.getLangOpts());
    policy.AnonymousTagLocations = false;
    return policy;
  }

  std::string Printed(const clang::LambdaExpr& lambda) const {
    std::string text;
    llvm::raw_string_ostream stream(text);
    lambda.printPretty(stream, nullptr, Policy());
    return text;
  }

  // A class in a function, lambdas aside.
  void AddLocalClass(const clang::RecordDecl& record) {
    const auto* local = llvm::dyn_cast<clang::CXXRecordDecl>(&record);
    if (local == nullptr || local->isLambda() || local->getName().empty()) return;
    const clang::FunctionDecl* function = FunctionAround(local->getDeclContext());
    if (function == nullptr) return;
    std::string text;
    llvm::raw_string_ostream stream(text);
    local->print(stream, Policy());
    bodies_->AddClass(*local, *function, std::move(text));
  }

  void DescribeBlocks() {
    const auto symbol_of = [this](const clang::FunctionDecl& function) {
      return names_.getName(&function);
    };
    const auto add_capture = [this](const std::string& name, clang::QualType type,
                                    RecordDescription& block) {
      // Code generation has them in this order, but for their alignment.
      const uint64_t offset_bits =
          block.fields.empty() ? 0
                               : block.fields.back().offset_bits + block.fields.back().size_bits;
      AddMember({name, type, offset_bits}, block);
    };
    blocks_.Describe(symbol_of, add_capture, description_->records);
  }

  // Each enumerator by itself: nothing else tells unnamed enumerations apart. One with a value of
  // its own is a constant, as a macro is.
  void AddUnnamedEnum(const clang::EnumDecl& declaration) {
    for (const clang::EnumConstantDecl* enumerator : declaration.enumerators()) {
      RecordDescription description;
      description.name = enumerator->getQualifiedNameAsString();
      description.kind = enumerator->getInitExpr() == nullptr ? "enum" : "constant";
      description.fields.push_back(DescribeEnumerator(*enumerator));
      description_->records.push_back(std::move(description));
    }
  }

  struct Member {
    std::string name;
    clang::QualType type;
    uint64_t offset_bits = 0;
    const clang::FieldDecl* bit_field = nullptr;
  };

  static bool IsInjected(const clang::RecordDecl& record) {
    const auto* class_record = llvm::dyn_cast<clang::CXXRecordDecl>(&record);
    return class_record != nullptr &&
           (class_record->isInjectedClassName() || class_record->isLambda());
  }

  // The function that a context is of, also within lambdas and blocks; nullptr: none.
  static const clang::FunctionDecl* FunctionAround(const clang::DeclContext* context) {
    while (true) {
      while (llvm::isa<clang::BlockDecl>(context)) context = context->getParent();
      const auto* method = llvm::dyn_cast<clang::CXXMethodDecl>(context);
      if (method == nullptr || !method->getParent()->isLambda()) break;
      context = method->getParent()->getDeclContext();
    }
    return llvm::dyn_cast<clang::FunctionDecl>(context);
  }

  bool IsSystem(const clang::Decl& declaration) const {
    const clang::SourceManager& sources = context_.getSourceManager();
    const clang::SourceLocation location = sources.getExpansionLoc(declaration.getLocation());
    return location.isInvalid() || sources.isInSystemHeader(location);
  }

  // Constants are compared by their contents.
  bool IsConstant(const clang::VarDecl& variable) const {
    return variable.getType().isConstantStorage(context_, /*ExcludeCtor=*/true,
                                                /*ExcludeDtor=*/false) &&
           variable.hasConstantInitialization();
  }

  // Of what it says, wherever it stands.
  std::string HashOf(const clang::Expr& expression) const {
    clang::PrintingPolicy policy(context_.getLangOpts());
    policy.AnonymousTagLocations = false;
    std::string text;
    llvm::raw_string_ostream stream(text);
    expression.printPretty(stream, nullptr, policy);
    return absl::StrCat(absl::Hex(llvm::xxh3_64bits(text)));
  }

  // Symbols tell variables of one name apart, but for a C function's own.
  std::string VariableName(const clang::VarDecl& variable) {
    std::string name = names_.getName(&variable);
    const auto* function = llvm::dyn_cast<clang::FunctionDecl>(variable.getDeclContext());
    if (function != nullptr && !context_.getLangOpts().CPlusPlus) {
      name = absl::StrCat(names_.getName(function), ".", name);
    }
    const int number = ++variable_numbers_[name];
    return number == 1 ? name : absl::StrCat(name, "#", number);
  }

  // Without the places of unnamed types in the source, which move.
  std::string TypeName(clang::QualType type) const {
    clang::PrintingPolicy policy(context_.getLangOpts());
    policy.AnonymousTagLocations = false;
    return type.getAsString(policy);
  }

  // What a value of the type is, however it is spelled (FieldDescription::meaning).
  std::string Meaning(clang::QualType spelled) const {
    const clang::QualType type = spelled.getCanonicalType().getUnqualifiedType();
    if (const auto* atomic = type->getAs<clang::AtomicType>()) {
      return Meaning(atomic->getValueType());
    }
    if (type->isIntegralOrEnumerationType()) {
      return absl::StrCat("integer ", context_.getTypeSize(type));
    }
    if (type->isFunctionType()) return "function";
    if (const clang::QualType pointee = type->getPointeeType();
        type->isPointerType() || type->isReferenceType()) {
      const bool may_be_bytes =
          pointee->isVoidType() || (pointee->isIntegralOrEnumerationType() &&
                                    (pointee->isIncompleteType() ||
                                     context_.getTypeSize(pointee) == context_.getCharWidth()));
      return may_be_bytes ? "pointer" : "pointer to " + Meaning(pointee);
    }
    if (const clang::ArrayType* array = context_.getAsArrayType(type)) {
      return Meaning(array->getElementType()) + "[]";
    }
    if (const clang::RecordDecl* record = type->getAsRecordDecl()) {
      const clang::QualType value = ValueOfStdAtomic(*record);
      if (!value.isNull()) return Meaning(value);
      const std::string name = RecordName(*record, context_);
      return name.empty() ? "unnamed record" : "record " + name;
    }
    return TypeName(type);
  }

  void AddBase(const clang::CXXRecordDecl& base, const char* kind, clang::CharUnits offset,
               RecordDescription& description) const {
    FieldDescription field;
    field.name = kind;
    field.type = RecordName(base, context_);
    field.meaning = field.type;
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

  void AddFields(const clang::RecordDecl& record, uint64_t base_bits, const std::string& prefix,
                 RecordDescription& description) const {
    const clang::ASTRecordLayout& layout = context_.getASTRecordLayout(&record);
    for (const clang::FieldDecl* member : record.fields()) {
      const std::string name = member->getNameAsString();
      AddMember({name.empty() ? "" : prefix + name, member->getType(),
                 base_bits + layout.getFieldOffset(member->getFieldIndex()),
                 member->isBitField() ? member : nullptr},
                description);
    }
  }

  // With the members of a type that has no name to be described under: an unnamed record's, also
  // where there is an array of them or a pointer to them.
  void AddMember(const Member& member, RecordDescription& description) const {
    FieldDescription field;
    field.name = member.name;
    field.type = TypeName(member.type);
    field.meaning = member.bit_field != nullptr ? "bits" : Meaning(member.type);
    field.offset_bits = member.offset_bits;
    field.size_bits = member.bit_field != nullptr       ? member.bit_field->getBitWidthValue()
                      : member.type->isIncompleteType() ? 0
                                                        : context_.getTypeSize(member.type);
    clang::QualType inner_type = member.type;
    std::string access = ".";
    while (inner_type->isArrayType() || inner_type->isPointerType()) {
      const clang::ArrayType* array = context_.getAsArrayType(inner_type);
      if (array == nullptr) access = "->";
      if (array != nullptr) access.insert(0, "[]");
      inner_type = array == nullptr ? inner_type->getPointeeType() : array->getElementType();
    }
    const clang::RecordDecl* inner = inner_type->getAsRecordDecl();
    const bool is_unnamed =
        inner != nullptr && inner->isCompleteDefinition() && RecordName(*inner, context_).empty();
    if (is_unnamed && access == ".") field.type = "(unnamed " + inner->getKindName().str() + ")";
    description.fields.push_back(std::move(field));
    if (!is_unnamed) return;
    const uint64_t inner_bits = access.starts_with("->") ? 0 : member.offset_bits;
    AddFields(*inner, inner_bits, member.name.empty() ? "" : member.name + access, description);
  }

  clang::ASTContext& context_;
  clang::ASTNameGenerator names_;
  StaticBlocks statics_;
  BlockLiterals blocks_;
  LocalBodies* bodies_;
  ObjectDescription* description_;
  std::set<const clang::VarDecl*> variables_;       // those that are described
  std::set<const clang::CXXRecordDecl*> closures_;  // likewise
  std::map<std::string, int> variable_numbers_;     // how many of a name are
};

class RecordCollector : public clang::ASTConsumer {
 public:
  RecordCollector(ObjectDescription* description, LocalBodies* bodies, SymbolOf symbol_of)
      : description_(description), bodies_(bodies), symbol_of_(std::move(symbol_of)) {}

  void HandleTranslationUnit(clang::ASTContext& context) override {
    if (context.getDiagnostics().hasErrorOccurred()) return;
    const clang::SourceManager& sources = context.getSourceManager();
    LayoutVisitor visitor(context, description_, bodies_);
    // What a preamble holds (preamble_cache.h) stays there: it is the same as before.
    for (clang::Decl* declaration : context.getTranslationUnitDecl()->noload_decls()) {
      // A whole declaration of a system header is skipped at once: there are many.
      const clang::SourceLocation location = declaration->getLocation();
      if (location.isInvalid() || sources.isInSystemHeader(location)) continue;
      visitor.TraverseDecl(declaration);
    }
    visitor.Finish(symbol_of_);
  }

 private:
  ObjectDescription* description_;
  LocalBodies* bodies_;
  const SymbolOf symbol_of_;
};

}  // namespace

std::unique_ptr<clang::ASTConsumer> CreateRecordCollector(ObjectDescription* description,
                                                          LocalBodies* bodies, SymbolOf symbol_of) {
  return std::make_unique<RecordCollector>(description, bodies, std::move(symbol_of));
}

}  // namespace mend::patchc
