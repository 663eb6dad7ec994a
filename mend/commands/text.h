// How the mend program prints: aligned tables, durations, colour on terminals.
#ifndef MEND_MEND_COMMANDS_TEXT_H_
#define MEND_MEND_COMMANDS_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mend/json.h"

namespace mend {

// Rows of cells in aligned columns, two blanks apart; the first row is the heading.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void Add(std::vector<std::string> row);
  bool empty() const { return rows_.size() == 1; }
  // Each line begins with `indent` blanks.
  std::string Format(size_t indent = 0) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// With '?' for control characters: what a program calls itself must neither break lines nor tell
// the terminal to do something.
std::string Printable(std::string text);

// "412 us", "3.4 ms", "1.2 s", "4 min 10 s".
std::string FormatNs(int64_t ns);

// Bold, on a terminal that takes colour (NO_COLOR is honoured); otherwise the text itself.
std::string Emphasize(std::string_view text);

// What answers say, for people. Each ends with a newline.
std::string StatusText(const Json& status);
std::string ThreadsText(const Json& threads);
// `verb` in the past: "disabled".
std::string VerbText(const Json& report, const std::string& verb);

}  // namespace mend

#endif  // MEND_MEND_COMMANDS_TEXT_H_
