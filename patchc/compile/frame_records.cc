#include "patchc/compile/frame_records.h"

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>
#include <clang/AST/DeclCXX.h>
#include <clang/AST/DeclTemplate.h>
#include <clang/AST/DynamicRecursiveASTVisitor.h>
#include <clang/AST/ExprCXX.h>
#include <clang/AST/Mangle.h>
#include <clang/AST/StmtCXX.h>
#include <clang/Basic/Builtins.h>
#include <clang/Basic/SourceManager.h>
#include <llvm/ADT/DenseSet.h>

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/compile/record_mentions.h"
#include "patchc/compile/records.h"

namespace mend::patchc {
namespace {

class EscapeFinder : public clang::DynamicRecursiveASTVisitor {
 public:
  EscapeFinder(clang::ASTContext& context, const RecordDefinitions& found, RecordUse& use)
      : context_(context),
        names_(context),
        is_shared_(found.is_shared),
        use_(use),
        mentions_(found) {
    ShouldVisitTemplateInstantiations = true;
    ShouldVisitImplicitCode = true;
  }

  // Each function's false ends it all.
  bool TraverseDecl(clang::Decl* declaration) override {
    if (declaration == nullptr || llvm::isa<clang::StaticAssertDecl>(declaration)) return true;
    const auto* function = llvm::dyn_cast<clang::FunctionDecl>(declaration);
    if (function == nullptr || !function->doesThisDeclarationHaveABody()) {
      return clang::DynamicRecursiveASTVisitor::TraverseDecl(declaration);
    }
    const bool is_coroutine = llvm::isa_and_nonnull<clang::CoroutineBodyStmt>(function->getBody());
    Scope outer = std::exchange(scope_, Scope{.function = function, .is_coroutine = is_coroutine});
    bool goes_on = clang::DynamicRecursiveASTVisitor::TraverseDecl(declaration);
    if (goes_on && scope_.touches && !scope_.leaves_stack.empty()) {
      goes_on = Escape(declaration->getLocation(),
                       absl::StrCat("'", function->getNameAsString(), "' calls ",
                                    scope_.leaves_stack, ", and has to do with it"));
    }
    scope_ = std::move(outer);
    return goes_on;
  }

  bool VisitRecordDecl(clang::RecordDecl* record) override {
    if (!record->isCompleteDefinition() || record->isDependentType()) return true;
    const bool is_target = IsTarget(*record);
    if (const auto* class_record = llvm::dyn_cast<clang::CXXRecordDecl>(record)) {
      if (is_target && (class_record->isPolymorphic() || class_record->getNumBases() > 0)) {
        return Escape(record->getLocation(), "it has base classes or virtual functions");
      }
      // Nothing in the source calls it.
      const clang::CXXDestructorDecl* const destructor =
          is_target ? class_record->getDestructor() : nullptr;
      if (destructor != nullptr && !IsHere(destructor)) {
        return Escape(destructor->getLocation(), NotHere(destructor));
      }
      for (const clang::CXXBaseSpecifier& base : class_record->bases()) {
        if (MentionIn(base.getType()) == Mention::kNone) continue;
        return Escape(record->getLocation(), "a base class has to do with it");
      }
    }
    for (const clang::FieldDecl* field : record->fields()) {
      const Mention mention = MentionIn(field->getType());
      const bool is_part = is_target && (mention == Mention::kValue || mention == Mention::kArray);
      if (mention == Mention::kNone || is_part) continue;
      const std::string name = RecordName(*record, context_);
      return Escape(field->getLocation(),
                    absl::StrCat("a member '", field->getNameAsString(), "' of ",
                                 name.empty() ? "another record" : absl::StrCat("'", name, "'"),
                                 " contains it or leads to it"));
    }
    return true;
  }

  bool VisitFunctionDecl(clang::FunctionDecl* function) override {
    if (function->isDependentContext() || !IsCode(*function)) return true;
    const auto* method = llvm::dyn_cast<clang::CXXMethodDecl>(function);
    bool touches = method != nullptr && IsTarget(*method->getParent());
    const Mention result = MentionIn(function->getReturnType());
    touches = touches || result != Mention::kNone;
    for (const clang::ParmVarDecl* parameter : function->parameters()) {
      touches = touches || MentionIn(parameter->getType()) != Mention::kNone;
    }
    if (!touches) return true;
    if (result == Mention::kOther || result == Mention::kArray) {
      return Escape(function->getLocation(), absl::StrCat(Quoted(*function), " returns a ",
                                                          TypeName(function->getReturnType())));
    }
    // Those of a class in the unit's own source have no other users: there is one such class.
    const bool is_own_method = method != nullptr && !is_shared_;
    if (!is_own_method && function->isExternallyVisible() && !function->isTrivial()) {
      return Escape(function->getLocation(),
                    absl::StrCat("other units may call ", Quoted(*function)));
    }
    return !function->doesThisDeclarationHaveABody() || Touch(function->getLocation());
  }

  bool VisitVarDecl(clang::VarDecl* variable) override {
    if (variable->getType()->isDependentType()) return true;
    const Mention mention = MentionIn(variable->getType());
    if (mention == Mention::kNone) return true;
    if (const auto* parameter = llvm::dyn_cast<clang::ParmVarDecl>(variable)) {
      // Those of types and declarations are nobody's.
      const auto* function = llvm::dyn_cast<clang::FunctionDecl>(parameter->getDeclContext());
      if (function == nullptr || !function->doesThisDeclarationHaveABody()) return true;
      // Whoever passes it on with a tail call is off the stack when the next one begins, and the
      // thread may switch in between.
      if (mention == Mention::kValue) {
        return Escape(variable->getLocation(), absl::StrCat(Quoted(*variable),
                                                            " is passed by "
                                                            "value"));
      }
    }
    if (variable->hasGlobalStorage()) {
      return Escape(variable->getLocation(), absl::StrCat(Quoted(*variable),
                                                          " is no automatic "
                                                          "variable"));
    }
    if (mention == Mention::kOther) {
      return Escape(variable->getLocation(),
                    absl::StrCat(Quoted(*variable), " is a ", TypeName(variable->getType())));
    }
    if (variable->isExceptionVariable() || llvm::isa<clang::DecompositionDecl>(variable) ||
        variable->isInitCapture()) {
      return Escape(variable->getLocation(),
                    absl::StrCat(Quoted(*variable), " is no plain variable"));
    }
    const auto* cleanup = variable->getAttr<clang::CleanupAttr>();
    if (cleanup != nullptr && !IsHere(cleanup->getFunctionDecl())) {
      return Escape(variable->getLocation(), NotHere(cleanup->getFunctionDecl()));
    }
    return Touch(variable->getLocation()) &&
           (mention == Mention::kPointer || Hold(variable->getLocation()));
  }

  bool VisitStmt(clang::Stmt* statement) override {
    if (const auto* expression = llvm::dyn_cast<clang::Expr>(statement)) {
      if (!HasKnownType(*expression)) return true;
      if (!CheckExpression(*expression)) return false;
    } else {
      NoteDiscarded(*statement);
    }
    for (const clang::Stmt* child : statement->children()) {
      const auto* expression = llvm::dyn_cast_or_null<clang::Expr>(child);
      if (expression == nullptr || !HasKnownType(*expression)) continue;
      const Mention mention = MentionIn(expression->getType());
      if (mention == Mention::kNone || callees_.contains(expression)) continue;
      if (!MayUse(*statement)) {
        return Escape(expression->getBeginLoc(),
                      absl::StrCat("it is used in a way that may keep it (",
                                   statement->getStmtClassName(), ")"));
      }
    }
    return true;
  }

  bool VisitCallExpr(clang::CallExpr* call) override {
    if (call->isTypeDependent()) return true;
    const clang::FunctionDecl* const callee = call->getDirectCallee();
    NoteSwitch(callee);
    if (MentionIn(call->getType()) != Mention::kNone && !IsHere(callee)) {
      return Escape(call->getBeginLoc(), NotHere(callee));
    }
    if (IsMemoryCall(*call)) return true;
    const auto* member_call = llvm::dyn_cast<clang::CXXMemberCallExpr>(call);
    if (member_call != nullptr && member_call->getMethodDecl() != nullptr &&
        IsTarget(*member_call->getMethodDecl()->getParent()) && !IsHere(callee)) {
      return Escape(call->getBeginLoc(), NotHere(callee));
    }
    const auto* const method = llvm::dyn_cast_or_null<clang::CXXMethodDecl>(callee);
    const bool has_object = llvm::isa<clang::CXXOperatorCallExpr>(call) && method != nullptr &&
                            !method->isExplicitObjectMemberFunction() && !method->isStatic();
    for (unsigned i = 0; i < call->getNumArgs(); ++i) {
      if (MentionIn(call->getArg(i)->getType()) == Mention::kNone) continue;
      if (!IsHere(callee)) return Escape(call->getBeginLoc(), NotHere(callee));
      if (has_object && i == 0) continue;
      if (!Takes(*callee, has_object ? i - 1 : i)) {
        return Escape(call->getBeginLoc(),
                      absl::StrCat(Quoted(*callee), " takes it as a variable argument"));
      }
    }
    return true;
  }

  bool VisitCXXConstructExpr(clang::CXXConstructExpr* construct) override {
    const clang::CXXConstructorDecl* const constructor = construct->getConstructor();
    const bool makes_target = IsTarget(*constructor->getParent());
    if (makes_target && !IsHere(constructor)) {
      return Escape(construct->getBeginLoc(), NotHere(constructor));
    }
    for (unsigned i = 0; i < construct->getNumArgs(); ++i) {
      if (MentionIn(construct->getArg(i)->getType()) == Mention::kNone) continue;
      if (!IsHere(constructor) || !Takes(*constructor, i)) {
        return Escape(construct->getBeginLoc(), NotHere(constructor));
      }
    }
    return true;
  }

  bool VisitCastExpr(clang::CastExpr* cast) override {
    if (cast->isTypeDependent() || cast->getSubExpr()->isTypeDependent()) return true;
    const clang::Expr* const operand = cast->getSubExpr();
    const Mention from = MentionIn(operand->getType());
    const Mention to = MentionIn(cast->getType());
    if ((from == Mention::kNone && to == Mention::kNone) || allowed_.contains(cast) ||
        callees_.contains(cast)) {
      return true;
    }
    switch (cast->getCastKind()) {
      case clang::CK_LValueToRValue:
      case clang::CK_NoOp:
      case clang::CK_ArrayToPointerDecay:
      case clang::CK_NullToPointer:
      case clang::CK_ToVoid:
      case clang::CK_PointerToBoolean:
      case clang::CK_ConstructorConversion:
        return true;
      case clang::CK_BitCast:
        if (IsSamePointer(operand->getType(), cast->getType()) || IsNull(*operand)) return true;
        break;
      default:
        break;
    }
    return Escape(cast->getBeginLoc(),
                  absl::StrCat("a ", TypeName(operand->getType()), " is converted to ",
                               TypeName(cast->getType())));
  }

  bool VisitUnaryExprOrTypeTraitExpr(clang::UnaryExprOrTypeTraitExpr* trait) override {
    const clang::QualType type = trait->getTypeOfArgument();
    const Mention mention = type->isDependentType() ? Mention::kNone : MentionIn(type);
    if ((mention != Mention::kValue && mention != Mention::kArray) || allowed_.contains(trait)) {
      return true;
    }
    return Escape(trait->getBeginLoc(), "its size is asked for");
  }

  bool VisitOffsetOfExpr(clang::OffsetOfExpr* offset) override {
    const clang::QualType type = offset->getTypeSourceInfo()->getType();
    if (type->isDependentType() || MentionIn(type) == Mention::kNone) return true;
    return Escape(offset->getBeginLoc(), "the place of a member is asked for");
  }

  bool VisitCapturedStmt(clang::CapturedStmt* statement) override {
    for (const clang::CapturedStmt::Capture& capture : statement->captures()) {
      if (!capture.capturesThis() && !capture.capturesVariable() &&
          !capture.capturesVariableByCopy()) {
        continue;
      }
      if (capture.capturesThis() ||
          MentionIn(capture.getCapturedVar()->getType()) != Mention::kNone) {
        return Escape(statement->getBeginLoc(), "a parallel region has it");
      }
    }
    return true;
  }

  bool VisitBlockExpr(clang::BlockExpr* block) override {
    for (const clang::BlockDecl::Capture& capture : block->getBlockDecl()->captures()) {
      if (MentionIn(capture.getVariable()->getType()) != Mention::kNone) {
        return Escape(block->getBeginLoc(), "a block has it");
      }
    }
    return true;
  }

 private:
  struct Scope {
    const clang::FunctionDecl* function = nullptr;
    bool touches = false;
    bool is_coroutine = false;
    std::string leaves_stack = {};  // what it calls that may go on elsewhere
  };

  bool IsTarget(const clang::RecordDecl& record) const { return mentions_.IsTarget(record); }

  // Whether there is code of it here, or Clang makes some when it is needed.
  static bool IsCode(const clang::FunctionDecl& function) {
    return function.doesThisDeclarationHaveABody() ||
           (function.isDefaulted() && !function.isDeleted());
  }

  std::string TypeName(clang::QualType type) const {
    return absl::StrCat("'", type.getAsString(context_.getPrintingPolicy()), "'");
  }
  static std::string Quoted(const clang::NamedDecl& declaration) {
    return absl::StrCat("'", declaration.getNameAsString(), "'");
  }
  static std::string NotHere(const clang::FunctionDecl* function) {
    if (function == nullptr) return "it is passed by a function pointer";
    return absl::StrCat("it is passed to ", Quoted(*function),
                        ", which is not defined in this unit, or may be another one's");
  }

  bool Escape(clang::SourceLocation location, const std::string& reason) {
    const clang::PresumedLoc place = context_.getSourceManager().getPresumedLoc(
        context_.getSourceManager().getExpansionLoc(location));
    use_.escape = place.isValid()
                      ? absl::StrCat(reason, " (", place.getFilename(), ":", place.getLine(), ")")
                      : reason;
    return false;
  }

  // The function at hand has to do with the record.
  bool Touch(clang::SourceLocation location) {
    if (scope_.function == nullptr) return Escape(location, "it is used outside of functions");
    if (scope_.is_coroutine) {
      return Escape(location, absl::StrCat(Quoted(*scope_.function), " is a coroutine"));
    }
    scope_.touches = true;
    for (const clang::DeclContext* around = scope_.function; around != nullptr;
         around = around->getParent()) {
      const auto* record = llvm::dyn_cast<clang::CXXRecordDecl>(around);
      // Those have no names that another compilation could be relied on to give them.
      const bool is_unnamed = record != nullptr && !IsTarget(*record) &&
                              (record->isLambda() || RecordName(*record, context_).empty());
      if (!is_unnamed) continue;
      return Escape(location, record->isLambda() ? "a lambda has to do with it"
                                                 : "an unnamed class has to do with it");
    }
    return true;
  }

  // The function at hand has such an object in its frame.
  bool Hold(clang::SourceLocation location) {
    if (!Touch(location)) return false;
    auto* const function = const_cast<clang::FunctionDecl*>(scope_.function);
    // There is no code of what nobody uses, hence no frame.
    if (!function->isUsed() && !context_.DeclMustBeEmitted(function)) return true;
    if (!held_.insert(function).second) return true;
    std::set<std::string> symbols;
    if (llvm::isa<clang::CXXConstructorDecl, clang::CXXDestructorDecl>(scope_.function)) {
      for (std::string& symbol : names_.getAllManglings(scope_.function)) {
        symbols.insert(std::move(symbol));
      }
    } else {
      symbols.insert(names_.getName(scope_.function));
    }
    use_.holders.insert(std::move(symbols));
    return true;
  }

  Mention MentionIn(clang::QualType type) { return mentions_.In(type); }

  // C's NULL is a pointer to void.
  bool IsNull(const clang::Expr& expression) const {
    return expression.isNullPointerConstant(context_, clang::Expr::NPC_ValueDependentIsNotNull) !=
           clang::Expr::NPCK_NotNull;
  }

  bool IsSamePointer(clang::QualType a, clang::QualType b) {
    if (MentionIn(a) != Mention::kPointer || MentionIn(b) != Mention::kPointer) return false;
    return context_.hasSameUnqualifiedType(a->getPointeeType(), b->getPointeeType());
  }

  // Whether calls of it reach code that is looked at here, whoever links the program.
  bool IsHere(const clang::FunctionDecl* function) const {
    if (function == nullptr) return false;
    if (function->isTrivial() || (function->isDefaulted() && !function->isDeleted())) return true;
    const clang::FunctionDecl* const definition = function->getDefinition();
    if (definition == nullptr || !definition->doesThisDeclarationHaveABody() ||
        IsInSystemHeader(context_, *definition)) {
      return false;
    }
    const auto* method = llvm::dyn_cast<clang::CXXMethodDecl>(definition);
    if (method != nullptr && method->isVirtual()) return false;
    // C's inline functions may have another definition, in another unit.
    const bool is_inline_of_c = !context_.getLangOpts().CPlusPlus &&
                                definition->isInlineSpecified() &&
                                definition->isExternallyVisible();
    return !is_inline_of_c && !definition->hasAttr<clang::WeakAttr>() &&
           !definition->hasAttr<clang::AliasAttr>() && !definition->hasAttr<clang::IFuncAttr>();
  }

  bool Takes(const clang::FunctionDecl& function, unsigned argument) {
    // The definition's parameters: a declaration of C may have none.
    const clang::FunctionDecl* definition = function.getDefinition();
    if (definition == nullptr) definition = &function;
    return argument < definition->getNumParams() &&
           MentionIn(definition->getParamDecl(argument)->getType()) != Mention::kNone;
  }

  void NoteSwitch(const clang::FunctionDecl* callee) {
    if (callee == nullptr || !callee->getIdentifier()) return;
    const llvm::StringRef name = callee->getName();
    if (callee->hasAttr<clang::ReturnsTwiceAttr>() || name == "swapcontext" ||
        name == "setcontext" || name == "getcontext" || name == "makecontext") {
      scope_.leaves_stack = name.str();
    }
  }

  // Calls whose results nobody uses.
  void NoteDiscarded(const clang::Stmt& statement) {
    if (!llvm::isa<clang::CompoundStmt, clang::IfStmt, clang::WhileStmt, clang::DoStmt,
                   clang::ForStmt, clang::CXXForRangeStmt, clang::LabelStmt, clang::CaseStmt,
                   clang::DefaultStmt>(statement)) {
      return;
    }
    if (values_.contains(&statement)) {
      // A label's statement may be the value, too.
      for (const clang::Stmt* child : statement.children()) values_.insert(child);
      return;
    }
    for (const clang::Stmt* child : statement.children()) {
      const auto* expression = llvm::dyn_cast_or_null<clang::Expr>(child);
      if (expression == nullptr) continue;
      expression = expression->IgnoreParens();
      const auto* cast = llvm::dyn_cast<clang::CastExpr>(expression);
      if (cast != nullptr && cast->getCastKind() == clang::CK_ToVoid) {
        expression = cast->getSubExpr()->IgnoreParens();
      }
      if (const auto* cleanups = llvm::dyn_cast<clang::ExprWithCleanups>(expression)) {
        expression = cleanups->getSubExpr()->IgnoreParens();
      }
      if (llvm::isa<clang::CallExpr>(expression)) discarded_.insert(expression);
    }
  }

  // The record's address, as it is converted for memset and its like.
  bool IsAddressAsBytes(const clang::Expr& argument) {
    const clang::Expr* expression = argument.IgnoreParens();
    const auto* cast = llvm::dyn_cast<clang::CastExpr>(expression);
    while (cast != nullptr && MentionIn(cast->getType()) == Mention::kNone &&
           (cast->getCastKind() == clang::CK_BitCast || cast->getCastKind() == clang::CK_NoOp)) {
      expression = cast->getSubExpr()->IgnoreParens();
      cast = llvm::dyn_cast<clang::CastExpr>(expression);
    }
    return MentionIn(expression->getType()) == Mention::kPointer;
  }

  void AllowBytes(const clang::Expr& argument) {
    const auto* cast = llvm::dyn_cast<clang::CastExpr>(argument.IgnoreParens());
    while (cast != nullptr && MentionIn(cast->getType()) == Mention::kNone) {
      allowed_.insert(cast);
      cast = llvm::dyn_cast<clang::CastExpr>(cast->getSubExpr()->IgnoreParens());
    }
  }

  void AllowSize(const clang::Expr& argument) {
    const clang::Expr* const size = argument.IgnoreParenImpCasts();
    if (llvm::isa<clang::UnaryExprOrTypeTraitExpr>(size)) allowed_.insert(size);
  }

  // memset of an object, or memcpy from one to another, for nothing but that.
  bool IsMemoryCall(const clang::CallExpr& call) {
    const clang::FunctionDecl* const callee = call.getDirectCallee();
    if (callee == nullptr || !discarded_.contains(&call)) return false;
    const unsigned kind = callee->getMemoryFunctionKind();
    const bool sets = kind == clang::Builtin::BImemset && call.getNumArgs() == 3;
    const bool zeroes = kind == clang::Builtin::BIbzero && call.getNumArgs() == 2;
    const bool copies = (kind == clang::Builtin::BImemcpy || kind == clang::Builtin::BImemmove) &&
                        call.getNumArgs() == 3;
    if (!sets && !zeroes && !copies) return false;
    if (!IsAddressAsBytes(*call.getArg(0))) return false;
    if (copies && !IsAddressAsBytes(*call.getArg(1))) return false;
    AllowBytes(*call.getArg(0));
    if (copies) AllowBytes(*call.getArg(1));
    AllowSize(*call.getArg(call.getNumArgs() - 1));
    return true;
  }

  bool CheckExpression(const clang::Expr& expression) {
    if (const auto* call = llvm::dyn_cast<clang::CallExpr>(&expression)) NoteCallee(*call);
    // The last statement of ({ }) is a value.
    if (const auto* block = llvm::dyn_cast<clang::StmtExpr>(&expression)) {
      values_.insert(block->getSubStmt());
    }
    const auto* cast = llvm::dyn_cast<clang::CastExpr>(&expression);
    if (cast != nullptr && cast->getCastKind() == clang::CK_LValueToRValue) {
      loaded_.insert(cast->getSubExpr()->IgnoreParens());
    }
    const Mention mention = MentionIn(expression.getType());
    if (mention == Mention::kNone || callees_.contains(&expression)) return true;
    if (mention == Mention::kOther) {
      return Escape(expression.getBeginLoc(),
                    absl::StrCat("there is a ", TypeName(expression.getType())));
    }
    if (llvm::isa<clang::CXXNewExpr, clang::VAArgExpr>(expression)) {
      return Escape(expression.getBeginLoc(), "it is allocated, or a variable argument");
    }
    if (const auto* literal = llvm::dyn_cast<clang::CompoundLiteralExpr>(&expression)) {
      if (literal->isFileScope()) return Escape(expression.getBeginLoc(), "a literal has it");
    }
    if (const auto* temporary = llvm::dyn_cast<clang::MaterializeTemporaryExpr>(&expression)) {
      if (temporary->getStorageDuration() != clang::SD_Automatic &&
          temporary->getStorageDuration() != clang::SD_FullExpression) {
        return Escape(expression.getBeginLoc(), "a temporary outlives its function");
      }
    }
    return Touch(expression.getBeginLoc()) &&
           (mention == Mention::kPointer || !MakesObject(expression) ||
            Hold(expression.getBeginLoc()));
  }

  // Whether the value is an object of its own, which another function has written or will see. What
  // a function only makes of its own values, or loads from an object, is right whichever of the two
  // versions of others it calls.
  bool MakesObject(const clang::Expr& expression) const {
    if (llvm::isa<clang::CompoundLiteralExpr>(expression)) return !loaded_.contains(&expression);
    if (llvm::isa<clang::MaterializeTemporaryExpr>(expression)) return true;
    if (expression.isGLValue()) return false;
    const auto* cast = llvm::dyn_cast<clang::CastExpr>(&expression);
    if (cast != nullptr) return cast->getCastKind() != clang::CK_LValueToRValue;
    return !llvm::isa<clang::InitListExpr, clang::ImplicitValueInitExpr, clang::ParenExpr,
                      clang::BinaryOperator, clang::ConditionalOperator>(expression);
  }

  // A function that is called by its name need not be looked at as a value.
  void NoteCallee(const clang::CallExpr& call) {
    if (call.getDirectCallee() == nullptr) return;
    const clang::Expr* expression = call.getCallee();
    while (expression != nullptr) {
      callees_.insert(expression);
      if (const auto* paren = llvm::dyn_cast<clang::ParenExpr>(expression)) {
        expression = paren->getSubExpr();
      } else if (const auto* cast = llvm::dyn_cast<clang::ImplicitCastExpr>(expression)) {
        expression = cast->getSubExpr();
      } else {
        return;
      }
    }
  }

  // Whether the statement keeps nothing of its child, an object, an array of them or an address.
  static bool MayUse(const clang::Stmt& statement) {
    if (const auto* unary = llvm::dyn_cast<clang::UnaryOperator>(&statement)) {
      switch (unary->getOpcode()) {
        case clang::UO_AddrOf:
        case clang::UO_Deref:
        case clang::UO_LNot:
        case clang::UO_Extension:
          return true;
        default:
          return unary->isIncrementDecrementOp();
      }
    }
    if (const auto* binary = llvm::dyn_cast<clang::BinaryOperator>(&statement)) {
      return binary->isAssignmentOp() || binary->isComparisonOp() || binary->isCommaOp() ||
             binary->isAdditiveOp() || binary->isLogicalOp();
    }
    // These look at their operands themselves, or at what they are part of.
    return llvm::isa<clang::CastExpr, clang::CallExpr, clang::CXXConstructExpr, clang::MemberExpr,
                     clang::ArraySubscriptExpr, clang::ConditionalOperator, clang::ParenExpr,
                     clang::ConstantExpr, clang::ExprWithCleanups, clang::CXXBindTemporaryExpr,
                     clang::MaterializeTemporaryExpr, clang::SubstNonTypeTemplateParmExpr,
                     clang::InitListExpr, clang::DesignatedInitExpr, clang::CompoundLiteralExpr,
                     clang::UnaryExprOrTypeTraitExpr>(statement) ||
           llvm::isa<clang::CompoundStmt, clang::DeclStmt, clang::ReturnStmt, clang::IfStmt,
                     clang::WhileStmt, clang::DoStmt, clang::ForStmt, clang::CXXForRangeStmt,
                     clang::LabelStmt, clang::CaseStmt, clang::DefaultStmt, clang::AttributedStmt>(
               statement);
  }

  clang::ASTContext& context_;
  clang::ASTNameGenerator names_;
  const bool is_shared_;
  RecordUse& use_;
  Scope scope_;
  RecordMentions mentions_;
  llvm::DenseSet<const clang::FunctionDecl*> held_;
  llvm::DenseSet<const clang::Stmt*> callees_;
  llvm::DenseSet<const clang::Stmt*> allowed_;    // casts and sizeof of a memset or memcpy
  llvm::DenseSet<const clang::Stmt*> discarded_;  // calls for their effects alone
  llvm::DenseSet<const clang::Stmt*> values_;     // blocks of ({ })
  llvm::DenseSet<const clang::Stmt*> loaded_;     // what nothing but its value is used of
};

class FrameRecordCollector : public clang::ASTConsumer {
 public:
  explicit FrameRecordCollector(RecordUses* uses) : uses_(uses) {}

  void HandleTranslationUnit(clang::ASTContext& context) override {
    if (context.getDiagnostics().hasErrorOccurred()) return;
    for (auto& [name, use] : *uses_) {
      const RecordDefinitions found = FindRecord(context, name);
      use.escape = found.definitions.empty() ? "the source does not define it" : "";
      if (found.definitions.empty()) continue;
      EscapeFinder escapes(context, found, use);
      ForEachOwnDeclaration(context, [&](clang::Decl* each) { return escapes.TraverseDecl(each); });
    }
  }

 private:
  RecordUses* const uses_;
};

}  // namespace

std::unique_ptr<clang::ASTConsumer> CreateFrameRecordCollector(RecordUses* uses) {
  return std::make_unique<FrameRecordCollector>(uses);
}

}  // namespace mend::patchc
