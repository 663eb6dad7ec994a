#include "patchc/compile/local_bodies.h"

#include <clang/AST/DeclTemplate.h>
#include <clang/AST/Mangle.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"

namespace mend::patchc {
namespace {

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// The symbol with each number of a lambda filled up with zeros, to be compared.
std::string Sortable(std::string_view symbol) {
  constexpr size_t kDigits = 10;
  std::string sortable;
  for (size_t at = 0; at < symbol.size(); ++at) {
    sortable.push_back(symbol[at]);
    if (!std::string_view(sortable).ends_with("$_")) continue;
    size_t end = at + 1;
    while (end < symbol.size() && IsDigit(symbol[end])) ++end;
    const size_t digits = end - at - 1;
    if (digits < kDigits) sortable.append(kDigits - digits, '0');
  }
  return sortable;
}

// Of a generic lambda, an instance.
const clang::FunctionDecl* CodeOf(const clang::LambdaExpr& lambda) {
  const clang::FunctionTemplateDecl* generic = lambda.getDependentCallOperator();
  if (generic == nullptr) return lambda.getCallOperator();
  const auto instances = generic->specializations();
  return instances.begin() == instances.end() ? nullptr : *instances.begin();
}

}  // namespace

void LocalBodies::AddLambda(const clang::LambdaExpr& lambda, const clang::FunctionDecl* function,
                            std::string text) {
  groups_[{function, ""}].push_back({std::move(text), CodeOf(lambda), true});
}

void LocalBodies::AddClass(const clang::CXXRecordDecl& local, const clang::FunctionDecl& function,
                           std::string text) {
  const auto method =
      std::find_if(local.method_begin(), local.method_end(), [](const clang::CXXMethodDecl* m) {
        return !llvm::isa<clang::CXXConstructorDecl>(m) && !llvm::isa<clang::CXXDestructorDecl>(m);
      });
  groups_[{&function, local.getNameAsString()}].push_back(
      {std::move(text), method == local.method_end() ? nullptr : *method, false});
}

bool LocalBodies::AreSeveral() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const auto& group) { return group.second.size() > 1; });
}

void LocalBodies::Describe(const clang::ASTContext& context, const SymbolOf& symbol_of,
                           std::vector<RecordDescription>& records) const {
  clang::ASTNameGenerator names(const_cast<clang::ASTContext&>(context));
  for (const auto& [place, bodies] : groups_) {
    if (bodies.size() < 2) continue;
    for (Body& body : InOrderOfSymbols(bodies, symbol_of)) {
      FieldDescription field;
      field.name = place.second;
      field.type = std::move(body.text);
      RecordDescription description;
      if (place.first != nullptr) description.name = names.getName(place.first);
      description.kind = "body";
      description.fields.push_back(std::move(field));
      records.push_back(std::move(description));
    }
  }
}

std::vector<LocalBodies::Body> LocalBodies::InOrderOfSymbols(const std::vector<Body>& bodies,
                                                             const SymbolOf& symbol_of) {
  std::multimap<std::string, Body> sorted;  // equal ones in their order
  for (const Body& body : bodies) {
    const std::string symbol = body.code == nullptr ? std::string() : symbol_of(body.code);
    // Lambdas that other units know are numbered as they stand in the source.
    const bool is_counted = !body.is_lambda || symbol.find("$_") != std::string::npos;
    if (!is_counted) {
      sorted.emplace("", body);
    } else if (body.is_lambda) {
      sorted.emplace(Sortable(symbol), body);
    } else {
      // A class that is not the first has its number behind its name: "E", "E_0", "E__10_".
      sorted.emplace(std::string(symbol.size(), ' ') + symbol, body);
    }
  }
  std::vector<Body> in_order;
  for (auto& [symbol, body] : sorted) in_order.push_back(std::move(body));
  return in_order;
}

}  // namespace mend::patchc
