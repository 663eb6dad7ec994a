// SourceEdits: which sources of a program an author edited, from edited files or from diffs, as old
// and new text.
#ifndef MEND_PATCHC_SOURCE_EDITS_H_
#define MEND_PATCHC_SOURCE_EDITS_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "patchc/base.h"
#include "patchc/build_inputs.h"

namespace mend::patchc {

struct SourceEdit {
  std::string old_text;
  std::string new_text;
  bool is_new_file = false;
};

class SourceEdits {
 public:
  explicit SourceEdits(Base& base);

  // An edited copy of a source: the file under its recorded path, or elsewhere with a path that
  // ends alike.
  absl::Status AddFile(const std::string& file);

  struct DiffOptions {
    std::string source_dir;       // what the diff's paths are relative to; may be empty
    std::optional<size_t> strip;  // -pN; guessed without it
  };
  // Later diffs see what earlier ones changed. Hunks for files that are no part of the program are
  // noted and skipped.
  absl::Status AddDiff(const std::string& file, const DiffOptions& options);

  // FAILED_PRECONDITION when no file of any diff is a source of the program (a wrong diff or base),
  // or when a diff changes what one of its sources was generated from, and not that source too.
  absl::Status Check();

  // The build file of a diff that names a global which the edits add: the build makes code that
  // uses it, which no edit contains. "" if there is none.
  std::string BuildFileNaming(const std::string& global) const;
  // Macros that build files of the diffs and the edited sources name newly: configure's findings.
  std::vector<std::string> MacroWarnings() const;

  // By normalised path. Sources whose text comes out unchanged are left out.
  std::map<std::string, SourceEdit> Edited() const;
  const std::vector<std::string>& notes() const { return notes_; }

  // The sources that the program records, but for the system's: normalised path, hash.
  std::map<std::string, std::string> Recorded() const;
  // The text that a recorded source had when the unit was compiled.
  absl::StatusOr<std::string> OriginalText(const std::string& path);

  static std::string Normalized(const std::string& directory, const std::string& path);

 private:
  struct Origin {
    size_t unit;
    std::string recorded_path;
    std::string hash;
  };

  absl::StatusOr<SourceEdit*> Edit(const std::string& path);
  // Recorded paths that end with `suffix`, component-wise.
  std::vector<std::string> EndingWith(const std::string& suffix) const;
  // The unit that another compiler may have made of the file: that one records no sources. "" if
  // none.
  std::string ForeignUnitOf(const std::string& file) const;
  absl::StatusOr<std::string> Match(const std::string& file) const;
  absl::Status CheckGenerated();
  // One file under two names: units of the other name would stay as they are.
  absl::Status CheckTwins() const;
  absl::StatusOr<std::string> MatchDiffPath(const std::string& path, const DiffOptions& options);

  Base& base_;
  std::map<std::string, Origin> origins_;  // of every source that is not the system's
  std::map<std::string, SourceEdit> edits_;
  std::string diff_root_;        // where the last matched diff path began
  size_t matched_ = 0;           // files that are sources of the program
  std::set<std::string> given_;  // paths of edited files
  BuildInputs build_inputs_;
  std::vector<std::string> notes_;
};

// A whole file; NOT_FOUND with its name.
absl::StatusOr<std::string> ReadFile(const std::string& file);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCE_EDITS_H_
