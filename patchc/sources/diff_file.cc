#include "patchc/sources/diff_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

constexpr size_t kFuzzMax = 2;
constexpr size_t kLinesMax = size_t{1} << 31;

// The character that begins `text`, a path that git or diff quoted as C does; takes it off.
char TakeQuoted(std::string_view& text) {
  constexpr std::string_view kLetters = "abtnvfr";
  constexpr std::string_view kMeanings = "\a\b\t\n\v\f\r";
  const auto take = [&text] {
    const char c = text.front();
    text.remove_prefix(1);
    return c;
  };
  const char first = take();
  if (first != '\\' || text.empty()) return first;
  const auto is_octal = [&text] {
    return !text.empty() && text.front() >= '0' && text.front() <= '7';
  };
  if (!is_octal()) {
    const char escaped = take();
    const size_t letter = kLetters.find(escaped);
    return letter == std::string_view::npos ? escaped : kMeanings[letter];
  }
  unsigned value = 0;
  for (int digits = 0; digits < 3 && is_octal(); ++digits) {
    value = value * 8 + static_cast<unsigned>(take() - '0');
  }
  return static_cast<char>(value);
}

// "a/file.c\t2026-01-01 ..." -> "a/file.c".
std::string ReadPath(std::string_view line) {
  line = TrimEnd(line.substr(0, line.find('\t')));
  if (line.size() < 2 || line.front() != '"' || line.back() != '"') return std::string(line);
  line = line.substr(1, line.size() - 2);
  std::string path;
  while (!line.empty()) path += TakeQuoted(line);
  return path;
}

// Reads "START[,COUNT]".
bool ParseRange(std::string_view text, size_t& start, size_t& count) {
  const size_t comma = text.find(',');
  const std::string_view first = text.substr(0, comma);
  count = 1;
  return ParseNumber(first, &start) && start <= kLinesMax &&
         (comma == std::string_view::npos || ParseNumber(text.substr(comma + 1), &count));
}

// Whether the lines from the first on change a file in a way that is read nowhere here: a hunk of
// several parents or without its file's name in front, or one of a context diff.
bool IsForeignHunk(std::string_view line, std::string_view next) {
  if (line.starts_with("@@@ -")) return true;
  if (line.starts_with("***************")) {
    return next.starts_with("*** ") && TrimEnd(next).ends_with(" ****");
  }
  const std::vector<std::string_view> words = SplitWords(TrimEnd(line));
  size_t start = 0;
  size_t count = 0;
  return words.size() >= 4 && words[0] == "@@" && words[1].starts_with("-") &&
         words[2].starts_with("+") && ParseRange(words[1].substr(1), start, count) &&
         ParseRange(words[2].substr(1), start, count);
}

// "commit HASH", which begins what `git show` and `git log` write.
bool IsCommitLine(std::string_view line) {
  constexpr std::string_view kStart = "commit ";
  constexpr size_t kDigitsMin = 7;  // of an abbreviated hash
  if (!line.starts_with(kStart)) return false;
  const std::string_view hash = line.substr(kStart.size());
  return hash.size() >= kDigitsMin && hash.find_first_not_of("0123456789abcdef") >= kDigitsMin;
}

// Whether the line behind a hunk looks like another one of its changes. A mail's signature does
// not.
bool LooksChanged(std::string_view line) {
  if (line.starts_with("+")) return !line.starts_with("+++ ");
  return line.starts_with("-") && !line.starts_with("--");
}

class DiffParser {
 public:
  DiffParser(std::string_view text, std::string_view name)
      : name_(name), lines_(SplitLines(text)) {}

  absl::StatusOr<std::vector<FileDiff>> Parse() {
    std::vector<FileDiff> files;
    for (; at_ < lines_.size(); ++at_) {
      if (ReadGitHead(files) || ReadMessage()) continue;
      if (lines_[at_].starts_with("GIT binary patch")) return Refuse("a binary change");
      const bool is_header = lines_[at_].starts_with("--- ") && at_ + 1 < lines_.size() &&
                             lines_[at_ + 1].starts_with("+++ ");
      if (!is_header) {
        const std::string_view next = at_ + 1 < lines_.size() ? lines_[at_ + 1] : "";
        if (IsForeignHunk(lines_[at_], next)) {
          return Refuse("a hunk that belongs to no file, or is of another kind of diff");
        }
        continue;
      }
      FileDiff file;
      file.old_path = ReadPath(lines_[at_].substr(kPathBegin));
      file.new_path = ReadPath(lines_[at_ + 1].substr(kPathBegin));
      file.move = head_.move;
      head_ = {};
      in_head_ = false;
      at_ += 2;
      while (at_ < lines_.size() && lines_[at_].starts_with("@@ ")) {
        absl::StatusOr<Hunk> hunk = ParseHunk();
        if (!hunk.ok()) return hunk.status();
        file.hunks.push_back(*std::move(hunk));
      }
      --at_;
      if (!file.hunks.empty()) files.push_back(std::move(file));
    }
    EndGitHead(files);
    if (files.empty()) {
      at_ = 0;
      return Refuse("no unified diff in it");
    }
    return files;
  }

 private:
  static constexpr size_t kPathBegin = 4;  // behind "--- " and "+++ "

  // Lines that git writes in front of a file's hunks, where it has any.
  bool ReadGitHead(std::vector<FileDiff>& files) {
    const std::string_view line = lines_[at_];
    if (line.starts_with("diff --git ")) {
      EndGitHead(files);
      in_message_ = false;
      in_head_ = true;
      prefix_ = line.find(" a/") != line.npos || line.find(" \"a/") != line.npos ? "a/" : "";
      return true;
    }
    if (!in_head_) return false;
    const auto read = [&](std::string_view start, Move move, std::string& path) {
      if (!line.starts_with(start)) return false;
      head_.move = move;
      path = absl::StrCat(prefix_, ReadPath(line.substr(start.size())));
      return true;
    };
    return read("rename from ", Move::kRenamed, head_.old_path) ||
           read("rename to ", Move::kRenamed, head_.new_path) ||
           read("copy from ", Move::kCopied, head_.old_path) ||
           read("copy to ", Move::kCopied, head_.new_path);
  }

  // What git show puts in front of a commit's first file. Its words are indented, and may be a
  // diff, of which the hunks are none of this one's.
  bool ReadMessage() {
    const std::string_view line = lines_[at_];
    if (IsCommitLine(line)) in_message_ = true;
    if (line.starts_with("diff ") || line.starts_with("--- ")) in_message_ = false;
    return in_message_ && line.starts_with("    ");
  }

  // There are no hunks: the file is the other one.
  void EndGitHead(std::vector<FileDiff>& files) {
    if (head_.move != Move::kNone) files.push_back(std::move(head_));
    head_ = {};
    in_head_ = false;
  }

  absl::Status Refuse(std::string_view what) const {
    return RefusalStatus({RefusalCode::kDiffMalformed,
                          absl::StrCat(Absl(name_), ":", at_ + 1, ": ", Absl(what)),
                          {}});
  }

  absl::StatusOr<Hunk> ParseHunk() {
    Hunk hunk;
    hunk.diff_line = at_ + 1;
    const std::vector<std::string_view> words = SplitWords(TrimEnd(lines_[at_]));
    size_t old_left = 0;
    size_t new_left = 0;
    size_t new_start = 0;
    if (words.size() < 4 || !words[1].starts_with("-") || !words[2].starts_with("+") ||
        !ParseRange(words[1].substr(1), hunk.old_start, old_left) ||
        !ParseRange(words[2].substr(1), new_start, new_left)) {
      return Refuse("not the head of a hunk");
    }
    ++at_;
    while (old_left > 0 || new_left > 0) {
      if (at_ >= lines_.size()) return Refuse("the hunk is cut off");
      std::string_view line = lines_[at_];
      // Mailers drop the blank of an empty context line.
      if (line == "\n" || line == "\r\n") line = " \n";
      const char kind = line.front();
      if (kind == '\\') {
        DropNewline(hunk);
        ++at_;
        continue;
      }
      const bool in_old = kind == ' ' || kind == '-';
      const bool in_new = kind == ' ' || kind == '+';
      if ((!in_old && !in_new) || (in_old && old_left == 0) || (in_new && new_left == 0)) {
        return Refuse("the hunk's lines do not match its head");
      }
      old_left -= in_old ? 1 : 0;
      new_left -= in_new ? 1 : 0;
      hunk.lines.push_back({kind, std::string(line.substr(1))});
      ++at_;
    }
    if (at_ < lines_.size() && lines_[at_].starts_with("\\")) {
      DropNewline(hunk);
      ++at_;
    }
    // What is edited by hand may have outgrown its head. The rest must not get lost.
    if (at_ < lines_.size() && LooksChanged(lines_[at_])) {
      return Refuse("the hunk has more lines than its head says");
    }
    return hunk;
  }

  // "\ No newline at end of file" speaks of the line before it.
  static void DropNewline(Hunk& hunk) {
    if (hunk.lines.empty()) return;
    std::string& text = hunk.lines.back().text;
    if (text.ends_with("\n")) text.pop_back();
  }

  const std::string_view name_;
  const std::vector<std::string_view> lines_;
  size_t at_ = 0;
  bool in_message_ = false;  // behind a commit's hash, before its first file
  bool in_head_ = false;     // behind git's first line for a file, before its hunks
  const char* prefix_ = "";
  FileDiff head_;  // what git's lines say of it
};

// A hunk without the context lines that fuzz lets go.
struct HunkPart {
  std::vector<std::string_view> old_lines;
  std::vector<std::string_view> new_lines;
  size_t skipped_before = 0;
};

HunkPart TrimHunk(const Hunk& hunk, size_t fuzz) {
  const auto is_context = [](const DiffLine& line) { return line.kind == ' '; };
  const auto first_change =
      std::find_if_not(hunk.lines.begin(), hunk.lines.end(), is_context) - hunk.lines.begin();
  const auto last_change =
      std::find_if_not(hunk.lines.rbegin(), hunk.lines.rend(), is_context) - hunk.lines.rbegin();
  // As patch(1): fuzz counts from the longer side, so that a hunk at the file's end stays there.
  const size_t before = static_cast<size_t>(first_change);
  const size_t after = static_cast<size_t>(last_change);
  const size_t longer = std::max(before, after);
  const size_t keep = longer > fuzz ? longer - fuzz : 0;
  HunkPart part;
  part.skipped_before = before > keep ? before - keep : 0;
  const size_t skipped_after = after > keep ? after - keep : 0;
  for (size_t i = part.skipped_before; i + skipped_after < hunk.lines.size(); ++i) {
    const DiffLine& line = hunk.lines[i];
    if (line.kind != '+') part.old_lines.push_back(line.text);
    if (line.kind != '-') part.new_lines.push_back(line.text);
  }
  return part;
}

// Line endings of DOS files and a missing last newline do not keep a hunk from fitting.
std::string_view Bare(std::string_view line) {
  if (line.ends_with("\n")) line.remove_suffix(1);
  if (line.ends_with("\r")) line.remove_suffix(1);
  return line;
}

bool MatchesAt(const std::vector<std::string_view>& lines, size_t at, const HunkPart& part) {
  if (at + part.old_lines.size() > lines.size()) return false;
  for (size_t i = 0; i < part.old_lines.size(); ++i) {
    if (Bare(lines[at + i]) != Bare(part.old_lines[i])) return false;
  }
  return true;
}

// The matching place that is nearest to `expected`, not before `begin`.
std::optional<size_t> FindPlace(const std::vector<std::string_view>& lines, size_t begin,
                                size_t expected, const HunkPart& part) {
  expected = std::min(expected, lines.size());
  for (size_t distance = 0; distance <= lines.size() + expected; ++distance) {
    if (expected + distance >= begin && MatchesAt(lines, expected + distance, part)) {
      return expected + distance;
    }
    if (distance <= expected && expected - distance >= begin &&
        MatchesAt(lines, expected - distance, part)) {
      return expected - distance;
    }
  }
  return std::nullopt;
}

// Whether what the hunk makes of a file stands there, with all of its context.
bool HasBeenApplied(const std::vector<std::string_view>& lines, size_t begin, const Hunk& hunk) {
  HunkPart after;
  bool adds = false;
  for (const DiffLine& line : hunk.lines) {
    if (line.kind != '-') after.old_lines.push_back(line.text);
    adds = adds || line.kind == '+';
  }
  return adds && FindPlace(lines, begin, hunk.old_start, after).has_value();
}

}  // namespace

absl::StatusOr<std::vector<FileDiff>> ParseDiff(std::string_view text, std::string_view name) {
  return DiffParser(text, name).Parse();
}

absl::StatusOr<std::string> ApplyDiff(std::string_view contents, const FileDiff& diff,
                                      std::string_view diff_name, std::vector<std::string>* notes) {
  const std::vector<std::string_view> lines = SplitLines(contents);
  std::string result;
  size_t done = 0;
  ptrdiff_t offset = 0;  // where the last hunk was found, against where it said
  for (size_t number = 0; number < diff.hunks.size(); ++number) {
    const Hunk& hunk = diff.hunks[number];
    std::optional<size_t> place;
    HunkPart part;
    size_t fuzz = 0;
    for (; fuzz <= kFuzzMax && !place; ++fuzz) {
      part = TrimHunk(hunk, fuzz);
      // Without any old line it would fit everywhere.
      if (fuzz > 0 && part.old_lines.empty()) break;
      // With less context it may fit where nobody meant it.
      if (fuzz > 0 && HasBeenApplied(lines, done, hunk)) break;
      const size_t start = (hunk.old_start == 0 ? 0 : hunk.old_start - 1) + part.skipped_before;
      // A hunk without old lines inserts after the line it names.
      const bool inserts_only = part.old_lines.empty() && hunk.old_start > 0;
      const ptrdiff_t wanted = static_cast<ptrdiff_t>(start + (inserts_only ? 1 : 0)) + offset;
      place = FindPlace(lines, done, static_cast<size_t>(std::max<ptrdiff_t>(wanted, 0)), part);
      if (place) offset += static_cast<ptrdiff_t>(*place) - wanted;
    }
    if (!place) {
      return RefusalStatus(
          {RefusalCode::kHunkFails,
           absl::StrCat(Absl(diff_name), ":", hunk.diff_line, ": hunk ", number + 1, " of ",
                        diff.hunks.size(), " does not apply to ", diff.path(), ":", hunk.old_start,
                        HasBeenApplied(lines, done, hunk) ? ", which has its lines already" : ""),
           {}});
    }
    if (fuzz > 1 && notes != nullptr) {
      notes->push_back(absl::StrCat(Absl(diff_name), ":", hunk.diff_line, ": hunk ", number + 1,
                                    " of ", diff.hunks.size(), " applied to ", diff.path(), ":",
                                    *place + 1, " though lines around it differ (fuzz ", fuzz - 1,
                                    ")"));
    }
    for (; done < *place; ++done) result.append(lines[done]);
    for (const std::string_view line : part.new_lines) result.append(line);
    done += part.old_lines.size();
  }
  for (; done < lines.size(); ++done) result.append(lines[done]);
  return result;
}

std::string StripComponents(std::string_view path, size_t count) {
  for (; count > 0; --count) {
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos) return {};
    path.remove_prefix(slash);
    while (path.starts_with("/")) path.remove_prefix(1);
  }
  return std::string(path);
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

}  // namespace mend::patchc
