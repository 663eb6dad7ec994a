// Unified diffs, as diff -u, git, quilt and Debian write them: read, and applied in memory the way
// patch(1) does (offsets are searched, up to two lines of context may differ).
#ifndef MEND_PATCHC_SOURCES_DIFF_FILE_H_
#define MEND_PATCHC_SOURCES_DIFF_FILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "patchc/support/refusals.h"

namespace mend::patchc {

struct DiffLine {
  char kind = ' ';   // ' ', '-' or '+'
  std::string text;  // with its newline, unless the file ends without one
};

struct Hunk {
  size_t old_start = 0;  // line numbers from 1; 0 for a file that is created
  size_t diff_line = 0;  // where the hunk stands in the diff, for messages
  std::vector<DiffLine> lines;
};

// What git says of a file beside its hunks: `new_path` is the old file, with the hunks applied.
enum class Move { kNone, kRenamed, kCopied };

struct FileDiff {
  std::string old_path;     // "/dev/null": created
  std::string new_path;     // "/dev/null": removed
  std::vector<Hunk> hunks;  // none only where it moves
  Move move = Move::kNone;

  bool Creates() const { return old_path == "/dev/null"; }
  // As `diff -N` without git writes it; an edit of an empty file looks the same.
  bool MayCreate() const { return hunks.size() == 1 && hunks.front().old_start == 0; }
  bool Removes() const { return new_path == "/dev/null"; }
  // What to call it.
  const std::string& path() const { return Creates() ? new_path : old_path; }
};

// `name` is the diff's file name, for messages. Refuses what is not a unified diff; text around
// the hunks (a mail, a commit message) is skipped.
absl::StatusOr<std::vector<FileDiff>> ParseDiff(std::string_view text, std::string_view name);

// The new contents. Refuses with the hunk's place in diff and source when it does not apply, or has
// been applied and would only apply again elsewhere, with less context. `notes`, if there are any:
// what was applied with less context.
absl::StatusOr<std::string> ApplyDiff(std::string_view contents, const FileDiff& diff,
                                      std::string_view diff_name,
                                      std::vector<std::string>* notes = nullptr);

// The path without its first `count` components; empty when it has no more than that.
std::string StripComponents(std::string_view path, size_t count);

// Splits into lines that keep their newline.
std::vector<std::string_view> SplitLines(std::string_view text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_DIFF_FILE_H_
