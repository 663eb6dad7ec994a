#include "patchc/sources/line_directives.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/sources/diff_file.h"
#include "patchc/sources/source_scan.h"

namespace mend::patchc {
namespace {

using Lines = std::vector<std::string_view>;

// Beyond this many differing lines the middle counts as one changed region: the search keeps a
// table of quadratic size.
constexpr size_t kEditDistanceMax = 2000;

// A shortest edit script of two sequences that differ at both ends: E. W. Myers, "An O(ND)
// Difference Algorithm and Its Variations", 1986. Pairs of equal lines, ascending.
class ShortestEdit {
 public:
  ShortestEdit(const Lines& a, const Lines& b) : a_(a), b_(b) {}

  std::optional<std::vector<std::pair<size_t, size_t>>> EqualPairs() {
    const ptrdiff_t distance_max =
        static_cast<ptrdiff_t>(std::min(a_.size() + b_.size(), kEditDistanceMax));
    std::vector<ptrdiff_t> furthest(static_cast<size_t>(2 * distance_max + 3), 0);
    const ptrdiff_t zero = distance_max + 1;
    for (ptrdiff_t d = 0; d <= distance_max; ++d) {
      trace_.emplace_back(furthest.begin() + zero - d - 1, furthest.begin() + zero + d + 2);
      for (ptrdiff_t k = -d; k <= d; k += 2) {
        ptrdiff_t* const at = furthest.data() + zero + k;
        const bool down = k == -d || (k != d && at[-1] < at[1]);
        ptrdiff_t x = down ? at[1] : at[-1] + 1;
        while (Equal(x, x - k)) ++x;
        *at = x;
        if (x >= Size(a_) && x - k >= Size(b_)) return Backtrack(d);
      }
    }
    return std::nullopt;
  }

 private:
  static ptrdiff_t Size(const Lines& lines) { return static_cast<ptrdiff_t>(lines.size()); }
  bool Equal(ptrdiff_t x, ptrdiff_t y) const {
    return x < Size(a_) && y >= 0 && y < Size(b_) &&
           a_[static_cast<size_t>(x)] == b_[static_cast<size_t>(y)];
  }

  std::vector<std::pair<size_t, size_t>> Backtrack(ptrdiff_t d) const {
    std::vector<std::pair<size_t, size_t>> pairs;
    ptrdiff_t x = Size(a_);
    ptrdiff_t y = Size(b_);
    for (; d >= 0; --d) {
      // The row as it was before round d; its middle is diagonal 0.
      const std::vector<ptrdiff_t>& row = trace_[static_cast<size_t>(d)];
      const ptrdiff_t* const at = row.data() + d + 1 + (x - y);
      const ptrdiff_t k = x - y;
      const bool down = k == -d || (k != d && at[-1] < at[1]);
      const ptrdiff_t before_x = d == 0 ? 0 : (down ? at[1] : at[-1]);
      const ptrdiff_t before_y = d == 0 ? 0 : before_x - (down ? k + 1 : k - 1);
      while (x > before_x && y > before_y) pairs.emplace_back(--x, --y);
      x = before_x;
      y = before_y;
    }
    std::reverse(pairs.begin(), pairs.end());
    return pairs;
  }

  const Lines& a_;
  const Lines& b_;
  std::vector<std::vector<ptrdiff_t>> trace_;
};

// For each new line the old line that it is; SIZE_MAX for changed ones.
std::vector<size_t> MatchLines(const Lines& old_lines, const Lines& new_lines) {
  std::vector<size_t> match(new_lines.size(), SIZE_MAX);
  const size_t shorter = std::min(old_lines.size(), new_lines.size());
  size_t head = 0;
  for (; head < shorter && old_lines[head] == new_lines[head]; ++head) match[head] = head;
  size_t tail = 0;
  while (tail < shorter - head &&
         old_lines[old_lines.size() - 1 - tail] == new_lines[new_lines.size() - 1 - tail]) {
    ++tail;
    match[new_lines.size() - tail] = old_lines.size() - tail;
  }
  const auto skipped = static_cast<ptrdiff_t>(head);
  const auto left = static_cast<ptrdiff_t>(tail);
  const Lines a(old_lines.begin() + skipped, old_lines.end() - left);
  const Lines b(new_lines.begin() + skipped, new_lines.end() - left);
  if (a.empty() || b.empty()) return match;
  const auto pairs = ShortestEdit(a, b).EqualPairs();
  if (!pairs) return match;
  for (const auto& [x, y] : *pairs) match[y + head] = x + head;
  return match;
}

// The number that __LINE__ has in each line, and one past the last.
std::vector<size_t> PresumedNumbers(const SourceScan& scan) {
  std::vector<size_t> numbers;
  size_t number = 1;
  for (const ScannedLine& line : scan.lines) {
    numbers.push_back(number);
    number = line.sets_line != 0 ? line.sets_line : number + 1;
  }
  return numbers;
}

}  // namespace

std::vector<ChangedRegion> CompareLines(std::string_view old_text, std::string_view new_text) {
  const Lines old_lines = SplitLines(old_text);
  const Lines new_lines = SplitLines(new_text);
  const std::vector<size_t> match = MatchLines(old_lines, new_lines);
  std::vector<ChangedRegion> regions;
  size_t next_old = 0;
  size_t next_new = 0;
  for (size_t i = 0; i <= new_lines.size(); ++i) {
    const bool at_end = i == new_lines.size();
    if (!at_end && match[i] == SIZE_MAX) continue;
    const size_t old_line = at_end ? old_lines.size() : match[i];
    if (old_line > next_old || i > next_new) regions.push_back({next_old, old_line, next_new, i});
    next_old = old_line + 1;
    next_new = i + 1;
  }
  return regions;
}

std::string KeepLineNumbers(std::string_view old_text, std::string_view new_text, NewLines lines) {
  if (old_text == new_text) return std::string(new_text);
  const Lines old_lines = SplitLines(old_text);
  const Lines new_lines = SplitLines(new_text);
  const std::vector<size_t> match = MatchLines(old_lines, new_lines);
  const std::vector<size_t> old_numbers = PresumedNumbers(ScanSource(old_text));
  const SourceScan scan = ScanSource(new_text);
  size_t beyond = old_lines.size();  // numbers that no line has
  for (const size_t old_number : old_numbers) beyond = std::max(beyond, old_number);
  std::string result;
  size_t number = 1;  // what the compiler counts, if it skipped no directive
  bool any_directive = false;
  bool may_have_skipped = false;
  for (size_t i = 0; i < new_lines.size(); ++i) {
    const ScannedLine* const line = i < scan.lines.size() ? &scan.lines[i] : nullptr;
    size_t wanted =
        match[i] != SIZE_MAX && match[i] < old_numbers.size() ? old_numbers[match[i]] : 0;
    if (match[i] == SIZE_MAX && lines == NewLines::kApart) wanted = beyond + 1 + i;
    if (wanted != 0 && (wanted != number || may_have_skipped) && line != nullptr &&
        line->directive_may_precede) {
      absl::StrAppend(&result, "#line ", wanted, "\n");
      number = wanted;
      any_directive = true;
      may_have_skipped = false;
    }
    result.append(new_lines[i]);
    ++number;
    if (line == nullptr) continue;
    if (line->sets_line != 0) number = line->sets_line;
    if (line->ends_branch && any_directive) may_have_skipped = true;
  }
  return result;
}

}  // namespace mend::patchc
