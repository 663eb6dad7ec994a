#include "patchc/sources/source_edits.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/sources/diff_file.h"
#include "patchc/sources/macro_values.h"
#include "patchc/support/text.h"
#include "runtime/base/read_file.h"

namespace mend::patchc {
namespace {

// A program may have hundreds of modules: more than these are counted.
constexpr size_t kShownMax = 4;

namespace fs = std::filesystem;

size_t CountComponents(std::string_view path) { return SplitWords(path, "/").size(); }

std::string Resolved(const std::string& path) {
  std::error_code error;
  const fs::path resolved = fs::weakly_canonical(path, error);
  return error ? fs::path(path).lexically_normal().string() : resolved.string();
}

// As nearly all paths in descriptions are. Taking them apart and together again took longer than
// anything else that looks at all of a program's sources.
bool IsNormalized(const std::string& path) {
  if (!path.starts_with('/') || path.find("//") != std::string::npos) return false;
  for (size_t at = path.find("/."); at != std::string::npos; at = path.find("/.", at + 1)) {
    const size_t end = path.find_first_not_of('.', at + 1);
    if (end == std::string::npos || path[end] == '/') return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& file) {
  std::error_code error;
  if (fs::is_directory(file, error)) {
    return absl::NotFoundError(absl::StrCat(file, " is a directory"));
  }
  absl::StatusOr<std::string> contents = mend::ReadFile(file);
  if (!contents.ok()) return absl::NotFoundError(absl::StrCat("cannot read ", file));
  return contents;
}

std::string SourceEdits::Normalized(const std::string& directory, const std::string& path) {
  if (IsNormalized(path)) return path;
  return (fs::path(directory) / path).lexically_normal().string();
}

SourceEdits::SourceEdits(BaseObjects& objects) : objects_(objects) {
  for (size_t object = 0; object < objects_.size(); ++object) {
    for (size_t i = 0; i < objects_[object].units().size(); ++i) {
      const ObjectDescription& description = objects_[object].units()[i].description;
      for (const SourceDescription& source : description.sources) {
        if (!source.is_system) AddOrigin(object, i, source);
      }
    }
  }
}

void SourceEdits::AddOrigin(size_t object, size_t unit, const SourceDescription& source) {
  std::string path = Normalized(objects_[object].units()[unit].description.directory, source.path);
  const std::string& target = source.real_path.empty() ? path : source.real_path;
  // Where links led elsewhere for another unit, the first one counts: an edit has one text for a
  // path.
  const std::string file = files_.try_emplace(target, target).first->second;
  const std::string& real = files_.try_emplace(path, file).first->second;
  std::vector<Origin>& origins = origins_[real];
  const bool is_known = std::any_of(origins.rbegin(), origins.rend(), [&](const Origin& origin) {
    return origin.object == object && origin.path == path;
  });
  if (!is_known) origins.push_back({object, unit, source.path, std::move(path), source.hash});
}

std::string SourceEdits::FileAt(const std::string& path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? std::string() : found->second;
}

std::set<std::string> SourceEdits::EndingWith(const std::string& suffix) const {
  std::set<std::string> found;
  const std::string ending = absl::StrCat("/", suffix);
  for (const auto& [path, file] : files_) {
    if (path == suffix || path.ends_with(ending)) found.insert(file);
  }
  return found;
}

std::map<std::string, std::string> SourceEdits::Recorded() const {
  std::map<std::string, std::string> recorded;
  for (const auto& [path, origins] : origins_) recorded.emplace(path, origins.front().hash);
  return recorded;
}

const SourceEdits::Origin* SourceEdits::OriginIn(size_t object, const std::string& path) const {
  const auto found = files_.find(path);
  if (found == files_.end()) return nullptr;
  for (const Origin& origin : origins_.at(found->second)) {
    if (origin.object == object && origin.path == path) return &origin;
  }
  return nullptr;
}

absl::StatusOr<std::string> SourceEdits::OriginalText(size_t object, const std::string& path) {
  const Origin* const origin = OriginIn(object, path);
  if (origin == nullptr) return RefusalStatus({RefusalCode::kSourceUnknown, path, {}});
  Base& base = objects_[object];
  const absl::StatusOr<const std::vector<SourceText>*> embedded = base.Sources(origin->unit);
  if (!embedded.ok()) return embedded.status();
  for (const SourceText& text : **embedded) {
    if (text.path == origin->recorded_path) return text.contents;
  }
  const absl::StatusOr<const std::string*> shared = base.SharedSource(origin->hash);
  if (!shared.ok()) return shared.status();
  if (*shared != nullptr) return **shared;
  absl::StatusOr<std::string> on_disk = ReadFile(path);
  if (on_disk.ok() && HashHex(*on_disk) == origin->hash) return on_disk;
  const std::string shown = base.Shown();
  return RefusalStatus(
      {RefusalCode::kBaseMismatch,
       absl::StrCat(
           path,
           on_disk.ok() ? absl::StrCat(" is not what ", shown, " was built from") : " is gone",
           ", and ", shown, " does not embed it"),
       {}});
}

absl::StatusOr<SourceEdit*> SourceEdits::Edit(size_t object, const std::string& path) {
  const auto key = std::make_pair(object, path);
  const auto found = edits_.find(key);
  if (found != edits_.end()) return &found->second;
  const absl::StatusOr<std::string> text = OriginalText(object, path);
  if (!text.ok()) return text.status();
  return &edits_.emplace(key, SourceEdit{*text, *text}).first->second;
}

absl::StatusOr<std::string> SourceEdits::TextIn(const Edits& edits, const Origin& origin) {
  const auto edit = edits.find({origin.object, origin.path});
  if (edit != edits.end()) return edit->second.new_text;
  return OriginalText(origin.object, origin.path);
}

std::string SourceEdits::ForeignUnitOf(const std::string& file) const {
  const std::string stem = fs::path(file).stem().string();
  for (const Base& object : objects_) {
    for (const BaseUnit& unit : object.units()) {
      if (unit.has_description) continue;
      std::string member = unit.member;
      if (member.ends_with(")")) member = member.substr(member.rfind('(') + 1);
      if (fs::path(member).stem() == stem) return unit.member;
    }
  }
  return {};
}

absl::StatusOr<std::string> SourceEdits::Match(const std::string& file) const {
  const std::string absolute = Normalized(fs::current_path().string(), file);
  if (std::string known = FileAt(absolute); !known.empty()) return known;
  if (std::string known = FileAt(Resolved(absolute)); !known.empty()) return known;
  // An edited copy: the recorded path that shares most of its end.
  for (size_t strip = 1; strip < CountComponents(absolute) + 1; ++strip) {
    const std::set<std::string> matches = EndingWith(StripComponents(absolute, strip));
    if (matches.size() == 1) return *matches.begin();
    if (matches.size() > 1) {
      return RefusalStatus({RefusalCode::kSourceAmbiguous,
                            absl::StrCat(file, " may be any of ", absl::StrJoin(matches, ", ")),
                            {}});
    }
  }
  if (const std::string foreign = ForeignUnitOf(file); !foreign.empty()) {
    return RefusalStatus({RefusalCode::kNoCommand,
                          absl::StrCat(file, ": ", foreign, " was not compiled by patchc"),
                          {}});
  }
  return RefusalStatus(
      {RefusalCode::kSourceUnknown, absl::StrCat(file, " is no source of ", ShownObjects()), {}});
}

std::string SourceEdits::ShownObjects() const {
  std::string shown = objects_.front().file();
  const size_t count = objects_.size();
  if (count > kShownMax) return absl::StrCat(shown, " or of its ", count - 1, " modules");
  for (size_t i = 1; i < count; ++i) {
    absl::StrAppend(&shown, i + 1 < count ? ", " : " or ", objects_[i].Shown());
  }
  return shown;
}

absl::Status SourceEdits::AddFile(const std::string& file) {
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  const absl::StatusOr<std::string> real = Match(file);
  if (!real.ok()) return real.status();
  for (const Origin& origin : origins_.at(*real)) {
    const absl::StatusOr<SourceEdit*> edit = Edit(origin.object, origin.path);
    if (!edit.ok()) return edit.status();
    (*edit)->new_text = *text;
  }
  ++matched_;
  given_.insert(*real);
  return absl::OkStatus();
}

absl::Status SourceEdits::CheckGenerated() {
  if (build_inputs_.empty()) return absl::OkStatus();
  std::vector<std::string> generated;
  for (const auto& [real, origins] : origins_) {
    // An edit of what is generated has what the build would make, or the author knows better.
    const size_t object = origins.front().object;
    const std::string& path = origins.front().path;
    if (edits_.contains({object, path})) continue;
    const absl::StatusOr<std::string> text = OriginalText(object, path);
    if (!text.ok()) continue;  // reported where it is needed
    const std::set<std::string> generators = build_inputs_.GeneratorsOf(*text, real);
    if (generators.empty()) continue;
    generated.push_back(absl::StrCat(path, " is generated from ", absl::StrJoin(generators, ", "),
                                     ", which the diff changes"));
  }
  if (generated.empty()) return absl::OkStatus();
  return RefusalStatus({RefusalCode::kGeneratedSource, absl::StrJoin(generated, "; "), {}});
}

std::string SourceEdits::BuildFileNaming(const std::string& global) const {
  std::string file = build_inputs_.BuildFileNaming(global);
  if (file.empty()) return file;
  for (const auto& [key, edit] : edits_) {
    if (given_.contains(FileAt(key.second)) && IdentifiersIn(edit.new_text).contains(global)) {
      return {};
    }
  }
  return file;
}

std::vector<std::string> SourceEdits::MacroWarnings() const {
  std::vector<std::string> warnings;
  const std::map<std::string, std::string> macros = build_inputs_.Macros();
  if (macros.empty()) return warnings;
  std::set<std::string> before;
  std::set<std::string> after;
  for (const auto& [key, edit] : edits_) {
    // A script that the diff adds is no code of the program, though it may be called like a header.
    if (edit.is_new_file && IsBuildFile(key.second)) continue;
    before.merge(IdentifiersIn(edit.old_text));
    after.merge(IdentifiersIn(edit.new_text));
  }
  for (const auto& [macro, file] : macros) {
    if (before.contains(macro) || !after.contains(macro)) continue;
    warnings.push_back(
        absl::StrCat(file, ": the edit uses '", macro,
                     "', which the build may define: a patch has what the program was built with"));
  }
  return warnings;
}

bool SourceEdits::IsIncluded(const std::string& name) const {
  for (const auto& [key, edit] : edits_) {
    for (const std::string_view line : SplitLines(edit.new_text)) {
      const size_t begin = line.find_first_not_of(" \t");
      const size_t include = line.find("include");
      if (begin != line.npos && line[begin] == '#' && include != line.npos &&
          line.find(name, include) != line.npos) {
        return true;
      }
    }
  }
  return false;
}

std::vector<std::string> SourceEdits::NewUnitWarnings() const {
  std::set<fs::path> folders;  // in which there are units
  for (const auto& [path, file] : files_) {
    if (IsUnitSource(path)) folders.insert(fs::path(path).parent_path());
  }
  std::set<std::string> warnings;  // each once, though it is an edit of every object
  for (const auto& [key, edit] : edits_) {
    const fs::path path = key.second;
    if (!edit.is_new_file || !IsUnitSource(path.string())) continue;
    if (!folders.contains(path.parent_path()) || IsIncluded(path.filename().string())) continue;
    warnings.insert(absl::StrCat(
        path.string(),
        ": is new, and nothing of it is in the patch, which has units of the program alone; where "
        "the fix needs it, let a source that it edits include it, by a further --diff"));
  }
  return {warnings.begin(), warnings.end()};
}

std::vector<std::string> SourceEdits::MacroValueWarnings() const {
  std::set<std::string> warnings;  // each once, though several objects have the source
  for (const auto& [key, edit] : edits_) {
    for (const ChangedMacro& macro : ChangedMacroValues(edit.old_text, edit.new_text)) {
      warnings.insert(
          absl::StrCat(key.second, ": '", macro.name, "' is ", macro.new_value,
                       " in the patch, and ", macro.old_value,
                       " in the running program: what that has stored, sent or sized by it stays"));
    }
  }
  return {warnings.begin(), warnings.end()};
}

// A build may copy headers to where all folders include them from (postfix does): what is edited is
// read by some units, and its copy by others.
absl::Status SourceEdits::CheckTwins() const {
  for (const auto& [key, edit] : edits_) {
    const auto& [object, path] = key;
    const Origin* const edited = OriginIn(object, path);
    if (edited == nullptr) continue;
    for (const auto& [other, file] : files_) {
      const Origin* const origin = OriginIn(object, other);
      if (origin == nullptr || origin->hash != edited->hash || edits_.contains({object, other}) ||
          fs::path(other).filename() != fs::path(path).filename()) {
        continue;
      }
      return RefusalStatus(
          {RefusalCode::kSourceAmbiguous,
           absl::StrCat(path, " is recorded as ", other,
                        " too, with the same contents: units that were compiled in another folder "
                        "read that one"),
           "If the build copies it, or it is another one, give it too, edited or not. Compiler "
           "caches give objects of another folder: if it is the same file, build without the cache "
           "(or with -g, which makes ccache tell folders apart)."});
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> SourceEdits::LikelyCopies(const FileDiff& diff) {
  const fs::path name = fs::path(diff.path()).filename();
  std::vector<std::string> copies;
  if (diff.hunks.empty() || !name.extension().string().starts_with(".h")) return copies;
  for (const auto& [real, origins] : origins_) {
    if (fs::path(real).filename() != name) continue;
    const absl::StatusOr<std::string> text =
        OriginalText(origins.front().object, origins.front().path);
    if (text.ok() && MayApplyTo(real, diff)) copies.push_back(real);
  }
  return copies;
}

absl::Status SourceEdits::CheckCopies() const {
  for (const auto& [file, copy] : copies_) {
    const std::vector<Origin>& origins = origins_.at(copy);
    const bool is_edited = std::all_of(
        origins.begin(), origins.end(),
        [this](const Origin& origin) { return edits_.contains({origin.object, origin.path}); });
    if (is_edited) continue;
    return RefusalStatus({RefusalCode::kSourceAmbiguous,
                          absl::StrCat(file, " is no part of the program, but applies to ", copy,
                                       ", which the build may have copied from it"),
                          "Give that one too, edited or not."});
  }
  return absl::OkStatus();
}

absl::Status SourceEdits::Check() {
  if (absl::Status copies = CheckCopies(); !copies.ok()) return copies;
  if (absl::Status twins = CheckTwins(); !twins.ok()) return twins;
  if (absl::Status generated = CheckGenerated(); !generated.ok()) return generated;
  if (matched_ > 0) return absl::OkStatus();
  return RefusalStatus({RefusalCode::kSourceUnknown,
                        absl::StrCat("nothing that was given touches a source of ", ShownObjects()),
                        absl::StrJoin(notes_, "\n")});
}

bool SourceEdits::MayApplyTo(const std::string& real, const FileDiff& diff) {
  for (const Origin& origin : origins_.at(real)) {
    const absl::StatusOr<std::string> text = TextIn(edits_, origin);
    if (!text.ok() || ApplyDiff(*text, diff, real).ok()) return true;
  }
  return false;
}

std::string SourceEdits::RootOf(const std::string& file, const std::string& rest) const {
  const std::string ending = absl::StrCat("/", rest);
  const auto root = [&](const std::string& path) {
    return path.substr(0, path.size() - rest.size());
  };
  if (file.ends_with(ending)) return root(file);
  for (const auto& [path, other] : files_) {
    if (other == file && path.ends_with(ending)) return root(path);
  }
  return {};
}

absl::StatusOr<std::string> SourceEdits::MatchDiffPath(const FileDiff& diff,
                                                       const DiffOptions& options) {
  const std::string& path = diff.path();
  // Without -p the leading component is often a/ or the package's folder, seldom more.
  const size_t first = options.strip.value_or(0);
  const size_t last = options.strip.value_or(1);
  for (size_t strip = first; strip <= last; ++strip) {
    const std::string rest = StripComponents(path, strip);
    if (rest.empty()) continue;
    std::set<std::string> matches;
    if (!options.source_dir.empty()) {
      const std::string absolute =
          Resolved(Normalized(Normalized(fs::current_path().string(), options.source_dir), rest));
      if (const std::string known = FileAt(absolute); !known.empty()) matches.insert(known);
    }
    // The tree may lie elsewhere than when the program was built.
    if (matches.empty()) matches = EndingWith(rest);
    if (matches.empty()) continue;
    if (matches.size() > 1) {
      // A short path ends many (compat.c: lib/compat.c too), but its hunks seldom fit more than
      // one. Where they do, as with a copy of the file, taking the likelier one could miss the
      // other.
      std::set<std::string> fitting;
      std::ranges::copy_if(matches, std::inserter(fitting, fitting.end()),
                           [&](const std::string& match) { return MayApplyTo(match, diff); });
      if (fitting.size() != 1) {
        return RefusalStatus({RefusalCode::kSourceAmbiguous,
                              absl::StrCat(path, " may be any of ", absl::StrJoin(matches, ", "),
                                           fitting.empty() ? ", none of which it applies to" : "",
                                           "; give --source or -p"),
                              {}});
      }
      matches = std::move(fitting);
    }
    diff_root_ = RootOf(*matches.begin(), rest);
    diff_strip_ = strip;
    diff_roots_.insert(diff_root_);
    return *matches.begin();
  }
  return std::string();
}

absl::Status SourceEdits::AddDiff(const std::string& file, const DiffOptions& options) {
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  const absl::StatusOr<std::vector<FileDiff>> diffs = ParseDiff(*text, file);
  if (!diffs.ok()) return diffs.status();
  // In order: a later one may edit what an earlier one creates. What git calls a copy is one of the
  // file as it was before.
  const bool has_copies = std::any_of(diffs->begin(), diffs->end(), [](const FileDiff& diff) {
    return diff.move == Move::kCopied;
  });
  const Edits before = has_copies ? edits_ : Edits();
  std::deque<FileDiff> created;
  std::vector<const FileDiff*> others;
  for (const FileDiff& diff : *diffs) {
    absl::StatusOr<std::string> path =
        diff.Creates() ? absl::StatusOr<std::string>("") : MatchDiffPath(diff, options);
    if (!path.ok()) return path.status();
    if (path->empty()) {
      // Whoever only moves what is no source changes nothing of the program.
      if (!diff.hunks.empty()) others.push_back(&diff);
      continue;
    }
    ++matched_;
    // A unit keeps the name by which its command calls it.
    const bool is_unit_renamed = diff.move == Move::kRenamed && IsUnitSource(diff.old_path);
    if (diff.move == Move::kNone || is_unit_renamed) {
      if (absl::Status applied = ApplyTo(*path, diff, file); !applied.ok()) return applied;
      continue;
    }
    absl::StatusOr<FileDiff> moved =
        MovedFrom(*path, diff, diff.move == Move::kCopied ? before : edits_, file);
    if (!moved.ok()) return moved.status();
    others.push_back(&created.emplace_back(*std::move(moved)));
  }
  if (!options.source_dir.empty()) {
    diff_root_ = Normalized(fs::current_path().string(), options.source_dir);
    diff_roots_.insert(diff_root_);
  }
  for (const FileDiff* diff : others) {
    const std::string rest = StripComponents(diff->path(), options.strip.value_or(diff_strip_));
    if (absl::Status added = AddOther(rest, *diff, file); !added.ok()) return added;
  }
  return absl::OkStatus();
}

absl::Status SourceEdits::AddOther(const std::string& rest, const FileDiff& diff,
                                   const std::string& file) {
  const bool is_placed = !diff_roots_.empty();
  const std::string path = Normalized(diff_root_, rest);
  const auto known = edits_.find({0, path});
  const bool is_created = known != edits_.end() && known->second.is_new_file;
  if (is_created || diff.Creates() || diff.MayCreate()) {
    if (!is_created && !is_placed) {
      notes_.push_back(absl::StrCat(file, ": new file ", diff.path(), " skipped"));
      return absl::OkStatus();
    }
    const absl::StatusOr<std::string> result =
        ApplyDiff(is_created && !diff.Creates() ? known->second.new_text : "", diff, file);
    if (!result.ok()) return result.status();
    for (size_t object = 0; object < objects_.size(); ++object) {
      edits_[{object, path}] = SourceEdit{{}, *result, true};
    }
    return absl::OkStatus();
  }
  if (is_placed && !diff.Removes() && IsMissing(rest)) {
    return RefusalStatus({RefusalCode::kHunkFails,
                          absl::StrCat(file, ": ", diff.path(), ", which it changes, is not there"),
                          {}});
  }
  const std::string foreign = ForeignUnitOf(diff.path());
  notes_.push_back(absl::StrCat(
      file, ": ", diff.path(), " is no part of the program",
      foreign.empty() ? "" : absl::StrCat(" that patchc compiled (", foreign, " may be)"), ": ",
      diff.hunks.size(), " hunk(s) skipped"));
  build_inputs_.Add(diff);
  for (std::string& copy : LikelyCopies(diff)) {
    copies_.emplace_back(diff.path(), std::move(copy));
  }
  return absl::OkStatus();
}

bool SourceEdits::IsMissing(const std::string& rest) const {
  if (!IsUnitSource(rest) && !fs::path(rest).extension().string().starts_with(".h")) return false;
  bool has_neighbours = false;
  for (const std::string& root : diff_roots_) {
    const fs::path path = Normalized(root, rest);
    std::error_code error;
    if (fs::exists(path, error)) return false;
    has_neighbours |= fs::is_directory(path.parent_path(), error) &&
                      std::any_of(files_.begin(), files_.end(), [&](const auto& known) {
                        return fs::path(known.first).parent_path() == path.parent_path();
                      });
  }
  return has_neighbours;
}

absl::StatusOr<FileDiff> SourceEdits::MovedFrom(const std::string& real, const FileDiff& diff,
                                                const Edits& edits, const std::string& file) {
  const absl::StatusOr<std::string> text = TextIn(edits, origins_.at(real).front());
  if (!text.ok()) return text.status();
  const absl::StatusOr<std::string> result = ApplyDiff(*text, diff, file);
  if (!result.ok()) return result.status();
  FileDiff created;
  created.old_path = "/dev/null";
  created.new_path = diff.new_path;
  Hunk& hunk = created.hunks.emplace_back();
  for (const std::string_view line : SplitLines(*result)) {
    hunk.lines.push_back({'+', std::string(line)});
  }
  return created;
}

absl::Status SourceEdits::ApplyTo(const std::string& real, const FileDiff& diff,
                                  const std::string& file) {
  for (const Origin& origin : origins_.at(real)) {
    const absl::StatusOr<SourceEdit*> edit = Edit(origin.object, origin.path);
    if (!edit.ok()) return edit.status();
    const Base& base = objects_[origin.object];
    const std::string shown =
        base.module().empty() ? file : absl::StrCat(file, " (for ", base.Shown(), ")");
    std::vector<std::string> notes;
    absl::StatusOr<std::string> result = ApplyDiff((*edit)->new_text, diff, shown, &notes);
    if (!result.ok()) return result.status();
    (*edit)->new_text = *std::move(result);
    for (std::string& note : notes) {
      if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) {
        notes_.push_back(std::move(note));
      }
    }
  }
  return absl::OkStatus();
}

std::map<std::string, SourceEdit> SourceEdits::Edited(size_t object) const {
  std::map<std::string, SourceEdit> edited;
  for (const auto& [key, edit] : edits_) {
    if (key.first == object && edit.old_text != edit.new_text) edited.emplace(key.second, edit);
  }
  return edited;
}

}  // namespace mend::patchc
