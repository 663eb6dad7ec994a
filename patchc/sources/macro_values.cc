#include "patchc/sources/macro_values.h"

#include <clang/Basic/LangOptions.h>
#include <clang/Basic/TokenKinds.h>
#include <clang/Lex/Lexer.h>
#include <llvm/ADT/StringRef.h>

#include <algorithm>
#include <map>

namespace mend::patchc {
namespace {

namespace tok = clang::tok;

bool IsInCapitals(llvm::StringRef name) { return name.upper() == name; }

// A token's text if a number may be made of it; empty otherwise.
llvm::StringRef NumberPart(const clang::Token& token) {
  switch (token.getKind()) {
    case tok::numeric_constant:
    case tok::char_constant:
      return {token.getLiteralData(), token.getLength()};
    case tok::raw_identifier:
      return IsInCapitals(token.getRawIdentifier()) ? token.getRawIdentifier() : llvm::StringRef();
    case tok::l_paren:
    case tok::r_paren:
    case tok::plus:
    case tok::minus:
    case tok::star:
    case tok::slash:
    case tok::percent:
    case tok::lessless:
    case tok::greatergreater:
    case tok::amp:
    case tok::pipe:
    case tok::caret:
    case tok::tilde:
      return tok::getPunctuatorSpelling(token.getKind());
    default:
      return {};
  }
}

// Definitions of macros that stand for numbers, in order.
class Definitions {
 public:
  using Values = std::map<std::string, std::vector<std::string>>;

  explicit Definitions(const std::string& text)
      : lexer_(clang::SourceLocation(), LanguageOptions(), text.data(), text.data(),
               text.data() + text.size()) {}

  Values Read() {
    Next();
    while (token_.isNot(tok::eof)) {
      if (token_.is(tok::hash) && token_.isAtStartOfLine()) {
        ReadDirective();
      } else {
        Next();
      }
    }
    return std::move(values_);
  }

 private:
  static const clang::LangOptions& LanguageOptions() {
    static const auto& options = *[] {
      auto* const made = new clang::LangOptions;
      made->LineComment = true;
      return made;
    }();
    return options;
  }

  void Next() { lexer_.LexFromRawLexer(token_); }
  bool IsInLine() const { return token_.isNot(tok::eof) && !token_.isAtStartOfLine(); }

  void ReadDirective() {
    Next();
    if (!IsInLine() || token_.isNot(tok::raw_identifier) || token_.getRawIdentifier() != "define") {
      return;
    }
    Next();
    if (!IsInLine() || token_.isNot(tok::raw_identifier)) return;
    const std::string name = token_.getRawIdentifier().str();
    Next();
    // With parameters.
    if (token_.is(tok::l_paren) && !token_.hasLeadingSpace()) return;
    std::string value;
    bool is_number = IsInLine();
    for (; IsInLine(); Next()) {
      const llvm::StringRef part = NumberPart(token_);
      is_number = is_number && !part.empty();
      if (!value.empty() && token_.hasLeadingSpace()) value += ' ';
      value += part;
    }
    if (is_number) values_[name].push_back(std::move(value));
  }

  clang::Lexer lexer_;
  clang::Token token_;
  Values values_;
};

}  // namespace

std::vector<ChangedMacro> ChangedMacroValues(const std::string& old_text,
                                             const std::string& new_text) {
  const Definitions::Values before = Definitions(old_text).Read();
  const Definitions::Values after = Definitions(new_text).Read();
  std::vector<ChangedMacro> changed;
  for (const auto& [name, old_values] : before) {
    const auto found = after.find(name);
    if (found == after.end()) continue;
    const std::vector<std::string>& new_values = found->second;
    const size_t count = std::min(old_values.size(), new_values.size());
    for (size_t i = 0; i < count; ++i) {
      if (old_values[i] == new_values[i]) continue;
      changed.push_back({name, old_values[i], new_values[i]});
      break;
    }
  }
  return changed;
}

}  // namespace mend::patchc
