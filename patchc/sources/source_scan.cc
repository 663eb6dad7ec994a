#include "patchc/sources/source_scan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

bool IsWordByte(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Words before a parenthesis that do not name the function being declared.
bool IsDeclarationNoise(std::string_view word) {
  static const auto& words = *new std::set<std::string_view>{
      "int",      "void",          "char",        "long",     "short",     "double",
      "float",    "bool",          "unsigned",    "signed",   "auto",      "const",
      "static",   "inline",        "alignas",     "decltype", "noexcept",  "requires",
      "explicit", "__attribute__", "__attribute", "throw",    "__declspec"};
  return words.contains(word);
}

bool IsUpperCase(std::string_view word) {
  return std::none_of(word.begin(), word.end(),
                      [](char c) { return absl::ascii_islower(static_cast<unsigned char>(c)); });
}

// Whether a word with parentheses behind others names the function, and those were a macro's or a
// type's: `static MACRO(type) name(int x) {`. Upper case is an annotation: `name(int x) LOCKED(m)
// {`.
bool NamesFunctionAfterAll(std::string_view word) {
  return !IsDeclarationNoise(word) && !word.starts_with("__") && !IsUpperCase(word);
}

enum class BraceKind { kTransparent, kFunction, kOther };

struct Brace {
  BraceKind kind;
  size_t function = 0;  // index of the span
};

// What has been seen of a declaration at file, namespace or class level.
struct Head {
  std::string last_word;
  std::string name;  // the word before the parameters
  std::vector<std::string> macro_arguments;
  size_t begin_line = 0;
  bool started = false;
  bool has_scope_word = false;
  bool has_equals = false;
  bool after_closing = false;       // the last token was ')'
  bool word_follows = false;        // after the name's parentheses
  bool collects_arguments = false;  // in the parentheses of a name of upper case
  bool name_is_final = false;       // initialisers of members or the type to return have begun
};

struct Nesting {
  int parentheses = 0;
  std::vector<Brace> braces;
  Head head;
};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  SourceScan Scan() {
    BeginLine();
    while (at_ < text_.size()) Step();
    // A function that is cut off reaches to the end.
    for (const Brace& brace : now_.braces) {
      if (brace.kind == BraceKind::kFunction) {
        scan_.functions[brace.function].end = scan_.lines.size();
      }
    }
    return std::move(scan_);
  }

 private:
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  size_t line() const { return scan_.lines.size() - 1; }

  void BeginLine() {
    if (at_ >= text_.size()) return;
    ScannedLine line;
    line.directive_may_precede =
        !in_comment_ && !in_directive_ && !in_literal_ && now_.parentheses == 0 && !continued_;
    if (line.directive_may_precede && IsWordByte(last_significant_)) {
      const size_t next = text_.find_first_not_of(" \t\r\n", at_);
      if (next != std::string_view::npos && text_[next] == '(') line.directive_may_precede = false;
    }
    scan_.lines.push_back(line);
    at_line_start_ = true;
    continued_ = false;
    // Parentheses that macros leave open would last for ever; a function's end is a safe place.
    if (!in_comment_ && Peek() == '}') now_.parentheses = 0;
  }

  void NewLine() {
    ++at_;
    if (!continued_) in_directive_ = false;
    BeginLine();
  }

  void Step() {
    const char c = Peek();
    if (c == '\\' && (Peek(1) == '\n' || (Peek(1) == '\r' && Peek(2) == '\n'))) {
      continued_ = true;
      at_ += Peek(1) == '\r' ? 2 : 1;
      NewLine();
      return;
    }
    if (c == '\n') return NewLine();
    if (in_comment_) {
      if (c == '*' && Peek(1) == '/') {
        in_comment_ = false;
        ++at_;
      }
      ++at_;
      return;
    }
    if (c == '/' && Peek(1) == '*') {
      in_comment_ = true;
      at_ += 2;
      return;
    }
    if (c == '/' && Peek(1) == '/') return SkipLineComment();
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      ++at_;
      return;
    }
    const bool first = std::exchange(at_line_start_, false);
    if (first && c == '#' && !in_directive_) return BeginDirective();
    if (c == '"' || c == '\'') return SkipLiteral(c);
    if (IsWordByte(c)) return Word();
    if (in_directive_) {
      ++at_;
      return;
    }
    last_significant_ = c;
    Punctuation(c);
    ++at_;
  }

  void SkipLineComment() {
    while (at_ < text_.size() && Peek() != '\n') {
      if (Peek() == '\\' && Peek(1) == '\n') return;
      ++at_;
    }
  }

  // Quoted text ends at the end of its line unless that is continued.
  void SkipLiteral(char quote) {
    last_significant_ = quote;
    for (++at_; at_ < text_.size() && Peek() != '\n'; ++at_) {
      if (Peek() == '\\') {
        if (Peek(1) == '\n') {
          ++at_;
          in_literal_ = continued_ = true;
          NewLine();
          in_literal_ = false;
          --at_;
        } else {
          ++at_;
        }
      } else if (Peek() == quote) {
        ++at_;
        return;
      }
    }
  }

  void SkipRawString() {
    const size_t open = text_.find('(', at_);
    if (open == std::string_view::npos) {
      ++at_;
      return;
    }
    const std::string closing =
        absl::StrCat(")", Absl(text_.substr(at_ + 1, open - at_ - 1)), "\"");
    const size_t found = text_.find(closing, open);
    const size_t end = found == std::string_view::npos ? text_.size() : found + closing.size();
    in_literal_ = true;
    while (at_ < end) {
      if (Peek() == '\n') {
        NewLine();
      } else {
        ++at_;
      }
    }
    in_literal_ = false;
    last_significant_ = '"';
  }

  void Word() {
    const size_t begin = at_;
    while (at_ < text_.size() && (IsWordByte(Peek()) || (Peek() == '\'' && IsNumber(begin)))) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (Peek() == '"' && word.ends_with("R") && word.size() <= 3) return SkipRawString();
    if (in_directive_) return;
    last_significant_ = word.back();
    if (!AtDeclarationLevel()) return;
    Head& head = now_.head;
    StartHead();
    if (now_.parentheses == 0 || head.name.empty()) head.last_word = word;
    head.after_closing = false;
    if (now_.parentheses > 0) {
      if (head.collects_arguments) head.macro_arguments.emplace_back(word);
      return;
    }
    head.word_follows = !head.name.empty();
    if (word == "namespace" || word == "class" || word == "struct" || word == "union" ||
        word == "extern") {
      head.has_scope_word = true;
    }
  }

  bool IsNumber(size_t begin) const {
    return absl::ascii_isdigit(static_cast<unsigned char>(text_[begin]));
  }

  bool AtDeclarationLevel() const {
    return now_.braces.empty() || now_.braces.back().kind == BraceKind::kTransparent;
  }

  void StartHead() {
    if (now_.head.started) return;
    now_.head.started = true;
    now_.head.begin_line = line();
  }

  // Whether the word before a parenthesis names the function that is being declared.
  static bool NamesFunction(const Head& head) {
    if (head.last_word.empty()) return false;
    if (head.name.empty()) return head.after_closing || !IsDeclarationNoise(head.last_word);
    return head.word_follows && !head.name_is_final && NamesFunctionAfterAll(head.last_word);
  }

  void Punctuation(char c) {
    Head& head = now_.head;
    const bool declaring = AtDeclarationLevel();
    switch (c) {
      case '(':
        if (declaring && now_.parentheses == 0 && NamesFunction(head)) {
          head.name = head.last_word;
          head.macro_arguments.clear();
          head.collects_arguments = IsUpperCase(head.name);
        }
        head.word_follows = false;
        ++now_.parentheses;
        break;
      case ')':
        now_.parentheses = std::max(now_.parentheses - 1, 0);
        head.after_closing = now_.parentheses == 0;
        if (head.after_closing) head.collects_arguments = false;
        return;
      case '{':
        OpenBrace();
        break;
      case '}':
        CloseBrace();
        break;
      case ';':
        if (declaring && now_.parentheses == 0) head = Head();
        break;
      case ':':
        if (!head.name.empty() && Peek(1) != ':' && text_[at_ - 1] != ':') {
          head.name_is_final = true;
        }
        break;
      case '>':
        if (!head.name.empty() && text_[at_ - 1] == '-') head.name_is_final = true;
        break;
      case '=':
        if (declaring && now_.parentheses == 0 && head.last_word != "operator") {
          head.has_equals = true;
        }
        break;
      default:
        break;
    }
    head.after_closing = false;
  }

  void OpenBrace() {
    const Head head = std::exchange(now_.head, Head());
    if (!AtDeclarationLevel()) {
      now_.braces.push_back({BraceKind::kOther});
      return;
    }
    if (!head.name.empty() && !head.has_equals && now_.parentheses == 0) {
      now_.braces.push_back({BraceKind::kFunction, scan_.functions.size()});
      scan_.functions.push_back({head.name, head.begin_line, line(), head.macro_arguments});
      return;
    }
    now_.braces.push_back(
        {head.has_scope_word && !head.has_equals ? BraceKind::kTransparent : BraceKind::kOther});
  }

  void CloseBrace() {
    if (now_.braces.empty()) return;
    const Brace brace = now_.braces.back();
    now_.braces.pop_back();
    if (brace.kind == BraceKind::kFunction) scan_.functions[brace.function].end = line();
    now_.head = Head();
  }

  // Each branch of a conditional begins with what was open before it.
  void BeginDirective() {
    in_directive_ = true;
    ++at_;
    size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) end = text_.size();
    const std::string_view rest = Trim(text_.substr(at_, end - at_));
    const std::vector<std::string_view> words = SplitWords(rest, " \t(");
    const std::string_view name = words.empty() ? std::string_view() : words.front();
    if (name.starts_with("if")) {
      conditionals_.push_back(now_);
    } else if (name.starts_with("el") && !conditionals_.empty()) {
      now_ = conditionals_.back();
    } else if (name == "endif" && !conditionals_.empty()) {
      conditionals_.pop_back();
    }
    scan_.lines.back().ends_branch = name.starts_with("el") || name == "endif";
    const std::string_view number =
        name == "line" ? (words.size() > 1 ? words[1] : std::string_view()) : name;
    size_t value = 0;
    if (ParseNumber(number, &value)) scan_.lines.back().sets_line = value;
    last_significant_ = '\n';
  }

  const std::string_view text_;
  size_t at_ = 0;
  bool in_comment_ = false;
  bool in_directive_ = false;
  bool in_literal_ = false;
  bool continued_ = false;
  bool at_line_start_ = true;
  char last_significant_ = '\n';
  Nesting now_;
  std::vector<Nesting> conditionals_;
  SourceScan scan_;
};

}  // namespace

bool FunctionSpan::MayBe(std::string_view function) const {
  if (function == name) return true;
  if (macro_arguments.empty()) return false;
  return std::find(macro_arguments.begin(), macro_arguments.end(), function) !=
             macro_arguments.end() ||
         function.ends_with(absl::StrCat("_", absl::StrJoin(macro_arguments, "_")));
}

const FunctionSpan* SourceScan::FunctionAt(size_t line) const {
  for (const FunctionSpan& function : functions) {
    if (line >= function.begin && line <= function.end) return &function;
  }
  return nullptr;
}

SourceScan ScanSource(std::string_view text) { return Scanner(text).Scan(); }

}  // namespace mend::patchc
