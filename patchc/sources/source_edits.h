// SourceEdits: which sources of a program and its guest modules an author edited, from edited files
// or from diffs, as old and new text. A source that several objects were built from is edited in
// each of them, as that was built from it.
//
// Units may have read one file under several paths: builds in folders of symbolic links do. A file
// is found by any of them and by the one that the links lead to, and is edited under all.
#ifndef MEND_PATCHC_SOURCES_SOURCE_EDITS_H_
#define MEND_PATCHC_SOURCES_SOURCE_EDITS_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "patchc/object/base.h"
#include "patchc/sources/build_inputs.h"
#include "patchc/sources/diff_file.h"

namespace mend::patchc {

struct SourceEdit {
  std::string old_text;
  std::string new_text;
  bool is_new_file = false;
};

class SourceEdits {
 public:
  explicit SourceEdits(BaseObjects& objects);

  // An edited copy of a source: the file under its recorded path, or elsewhere with a path that
  // ends alike.
  absl::Status AddFile(const std::string& file);

  struct DiffOptions {
    std::string source_dir;       // what the diff's paths are relative to; may be empty
    std::optional<size_t> strip;  // -pN; guessed without it
  };
  // Later diffs see what earlier ones changed. Hunks for files that are no part of any object are
  // noted and skipped.
  absl::Status AddDiff(const std::string& file, const DiffOptions& options);

  // FAILED_PRECONDITION when no file of any diff is a source of any object (a wrong diff or base),
  // or when a diff changes what one of its sources was generated from, and not that source too.
  absl::Status Check();

  // The build file of a diff that names a global which the edits add: the build makes code that
  // uses it, which no edit contains. "" if there is none.
  std::string BuildFileNaming(const std::string& global) const;
  // Macros that build files of the diffs and the edited sources name newly: configure's findings.
  std::vector<std::string> MacroWarnings() const;
  // Macros that stand for another number after the edits.
  std::vector<std::string> MacroValueWarnings() const;

  // Sources that the diffs add beside units of the program, and that no edited source includes:
  // nothing of them is in a patch.
  std::vector<std::string> NewUnitWarnings() const;
  // Of an object, by normalised path. Sources whose text comes out unchanged are left out.
  std::map<std::string, SourceEdit> Edited(size_t object) const;
  const std::vector<std::string>& notes() const { return notes_; }

  // The sources that the objects record, but for the system's: path without links, hash.
  std::map<std::string, std::string> Recorded() const;
  // The text that a recorded source had when the unit was compiled.
  absl::StatusOr<std::string> OriginalText(size_t object, const std::string& path);

  static std::string Normalized(const std::string& directory, const std::string& path);

 private:
  struct Origin {
    size_t object;
    size_t unit;
    std::string recorded_path;
    std::string path;  // that, normalised: what edits go by
    std::string hash;
  };

  using Edits = std::map<std::pair<size_t, std::string>, SourceEdit>;  // by object and path

  void AddOrigin(size_t object, size_t unit, const SourceDescription& source);
  // nullptr: the object has no such source.
  const Origin* OriginIn(size_t object, const std::string& path) const;
  absl::StatusOr<SourceEdit*> Edit(size_t object, const std::string& path);
  // Not by Edit(): a source that is only looked at is not one that the author edited.
  absl::StatusOr<std::string> TextIn(const Edits& edits, const Origin& origin);
  // The file that the diff makes of this one and calls otherwise, as one that it creates. `edits`:
  // what this one is before that.
  absl::StatusOr<FileDiff> MovedFrom(const std::string& real, const FileDiff& diff,
                                     const Edits& edits, const std::string& file);
  absl::Status ApplyTo(const std::string& real, const FileDiff& diff, const std::string& file);
  // What a diff says of a file that is no source: one that it creates, or that an earlier diff has
  // created; else it is skipped. `rest` leads to it, from diff_root_.
  absl::Status AddOther(const std::string& rest, const FileDiff& diff, const std::string& file);
  // Whether the source is gone from where others of the program's are, or has never been there.
  bool IsMissing(const std::string& rest) const;
  // The file of a path, by its own name or another; "" if it is no source.
  std::string FileAt(const std::string& path) const;
  // Files of which a path ends with `suffix`, component-wise.
  std::set<std::string> EndingWith(const std::string& suffix) const;
  // All objects, for messages.
  std::string ShownObjects() const;
  // The unit that another compiler may have made of the file: that one records no sources. "" if
  // none.
  std::string ForeignUnitOf(const std::string& file) const;
  absl::StatusOr<std::string> Match(const std::string& file) const;
  absl::Status CheckGenerated();
  // One file under two names: units of the other name would stay as they are.
  absl::Status CheckTwins() const;
  // The source that a diff's file is; "" if it is none.
  absl::StatusOr<std::string> MatchDiffPath(const FileDiff& diff, const DiffOptions& options);
  // The folder from where `rest` leads to the file.
  std::string RootOf(const std::string& file, const std::string& rest) const;
  // Sources of the name of a diff's file, which is none, to which its hunks apply: the build copies
  // headers.
  std::vector<std::string> LikelyCopies(const FileDiff& diff);
  absl::Status CheckCopies() const;
  // Whether one of the edited sources includes a file of this name.
  bool IsIncluded(const std::string& name) const;
  // Whether the hunks fit this source as it is by now; true as well if its text cannot be had.
  bool MayApplyTo(const std::string& real, const FileDiff& diff);

  BaseObjects& objects_;
  // Of every file that is not the system's, by its path without links: one for each object and each
  // path under which that has it.
  std::map<std::string, std::vector<Origin>> origins_;
  std::map<std::string, std::string> files_;  // by path: its key in origins_
  Edits edits_;
  std::string diff_root_;             // where the last matched diff path began, or --source
  std::set<std::string> diff_roots_;  // where any did: sources, and a folder of what is generated
  size_t diff_strip_ = 1;             // components that the last one was matched without
  size_t matched_ = 0;                // files that are sources of some object
  std::set<std::string> given_;       // edited files, as in origins_
  BuildInputs build_inputs_;
  std::vector<std::string> notes_;
  // Of each file of a diff that is no source, and each source that seems to be a copy of it.
  std::vector<std::pair<std::string, std::string>> copies_;
};

// A whole file; NOT_FOUND with its name.
absl::StatusOr<std::string> ReadFile(const std::string& file);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_SOURCE_EDITS_H_
