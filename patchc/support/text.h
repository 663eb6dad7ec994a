// Small helpers on text. Debian's abseil has a string_view of its own, so its string functions do
// not take the standard one.
#ifndef MEND_PATCHC_SUPPORT_TEXT_H_
#define MEND_PATCHC_SUPPORT_TEXT_H_

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"

namespace mend::patchc {

// For absl::StrCat and its like.
inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view Std(absl::string_view text) { return {text.data(), text.size()}; }

inline std::string_view TrimEnd(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

inline std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : TrimEnd(text.substr(first));
}

// The non-empty pieces between any of the separators.
inline std::vector<std::string_view> SplitWords(std::string_view text,
                                                std::string_view separators = " \t") {
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const size_t length = std::min(text.find_first_of(separators), text.size());
    words.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
}

// The whole text as a decimal number.
template <typename Number>
bool ParseNumber(std::string_view text, Number* number) {
  const char* const end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, *number);
  return !text.empty() && result.ec == std::errc() && result.ptr == end;
}

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SUPPORT_TEXT_H_
