#include "patchc/compare/likeness.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"

namespace mend::patchc {
namespace {

using Words = std::map<std::string_view, int>;

Words WordsOf(std::string_view text) {
  const auto is_word = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  Words words;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (is_word(text[at]) && end < text.size() && is_word(text[end])) ++end;
    if (text[at] != ' ' && text[at] != '\n') ++words[text.substr(at, end - at)];
    at = end;
  }
  return words;
}

// The part of the words that both have, from 0 to 1.
double Likeness(std::string_view a, std::string_view b) {
  const Words of_a = WordsOf(a);
  const Words of_b = WordsOf(b);
  int common = 0;
  int all = 0;
  for (const auto& [word, count] : of_a) {
    const auto found = of_b.find(word);
    if (found != of_b.end()) common += 2 * std::min(count, found->second);
    all += count;
  }
  for (const auto& [word, count] : of_b) all += count;
  return all == 0 ? 1 : static_cast<double>(common) / all;
}

}  // namespace

bool AreInPlace(const Blocks& base, const Blocks& edited) {
  if (base.size() != edited.size()) return false;
  for (const auto& [name, block] : base) {
    const auto after = edited.find(name);
    if (after == edited.end() || block.first != after->second.first) return false;
    if (block == after->second) continue;
    const double likeness = Likeness(block.second, after->second.second);
    for (const auto& [other, other_after] : edited) {
      const auto other_before = base.find(other);
      if (other_before == base.end()) return false;
      const bool is_settled = other == name || other_before->second == other_after ||
                              other_before->second == block || other_after == after->second;
      if (is_settled) continue;
      if (Likeness(block.second, other_after.second) >= likeness) return false;
    }
  }
  return true;
}

}  // namespace mend::patchc
