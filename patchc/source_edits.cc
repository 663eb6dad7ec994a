#include "patchc/source_edits.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/diff_file.h"
#include "patchc/text.h"

namespace mend::patchc {
namespace {

namespace fs = std::filesystem;

size_t CountComponents(std::string_view path) { return SplitWords(path, "/").size(); }

std::string Resolved(const std::string& path) {
  std::error_code error;
  const fs::path resolved = fs::weakly_canonical(path, error);
  return error ? fs::path(path).lexically_normal().string() : resolved.string();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& file) {
  std::error_code error;
  if (fs::is_directory(file, error)) {
    return absl::NotFoundError(absl::StrCat(file, " is a directory"));
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return absl::NotFoundError(absl::StrCat("cannot read ", file));
  std::ostringstream contents;
  contents << stream.rdbuf();
  return std::move(contents).str();
}

std::string SourceEdits::Normalized(const std::string& directory, const std::string& path) {
  return (fs::path(directory) / path).lexically_normal().string();
}

SourceEdits::SourceEdits(Base& base) : base_(base) {
  for (size_t i = 0; i < base_.units().size(); ++i) {
    const ObjectDescription& description = base_.units()[i].description;
    for (const SourceDescription& source : description.sources) {
      if (source.is_system) continue;
      origins_.try_emplace(Normalized(description.directory, source.path),
                           Origin{i, source.path, source.hash});
    }
  }
}

std::vector<std::string> SourceEdits::EndingWith(const std::string& suffix) const {
  std::vector<std::string> found;
  const std::string ending = absl::StrCat("/", suffix);
  for (const auto& [path, origin] : origins_) {
    if (path == suffix || path.ends_with(ending)) found.push_back(path);
  }
  return found;
}

std::map<std::string, std::string> SourceEdits::Recorded() const {
  std::map<std::string, std::string> recorded;
  for (const auto& [path, origin] : origins_) recorded.emplace(path, origin.hash);
  return recorded;
}

absl::StatusOr<std::string> SourceEdits::OriginalText(const std::string& path) {
  const auto found = origins_.find(path);
  if (found == origins_.end()) {
    return RefusalStatus({RefusalCode::kSourceUnknown, path, {}});
  }
  const Origin& origin = found->second;
  const absl::StatusOr<const std::vector<SourceText>*> embedded = base_.Sources(origin.unit);
  if (!embedded.ok()) return embedded.status();
  for (const SourceText& text : **embedded) {
    if (text.path == origin.recorded_path) return text.contents;
  }
  absl::StatusOr<std::string> on_disk = ReadFile(path);
  if (on_disk.ok() && HashHex(*on_disk) == origin.hash) return on_disk;
  return RefusalStatus(
      {RefusalCode::kBaseMismatch,
       absl::StrCat(path, on_disk.ok() ? " is not what the program was built from" : " is gone",
                    ", and the program does not embed it"),
       {}});
}

absl::StatusOr<SourceEdit*> SourceEdits::Edit(const std::string& path) {
  const auto found = edits_.find(path);
  if (found != edits_.end()) return &found->second;
  const absl::StatusOr<std::string> text = OriginalText(path);
  if (!text.ok()) return text.status();
  return &edits_.emplace(path, SourceEdit{*text, *text}).first->second;
}

std::string SourceEdits::ForeignUnitOf(const std::string& file) const {
  const std::string stem = fs::path(file).stem().string();
  for (const BaseUnit& unit : base_.units()) {
    if (unit.has_description) continue;
    std::string member = unit.member;
    if (member.ends_with(")")) member = member.substr(member.rfind('(') + 1);
    if (fs::path(member).stem() == stem) return unit.member;
  }
  return {};
}

absl::StatusOr<std::string> SourceEdits::Match(const std::string& file) const {
  const std::string absolute = Normalized(fs::current_path().string(), file);
  if (origins_.contains(absolute)) return absolute;
  if (const std::string real = Resolved(absolute); origins_.contains(real)) return real;
  // An edited copy: the recorded path that shares most of its end.
  for (size_t strip = 1; strip < CountComponents(absolute) + 1; ++strip) {
    const std::vector<std::string> matches = EndingWith(StripComponents(absolute, strip));
    if (matches.size() == 1) return matches.front();
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
      {RefusalCode::kSourceUnknown, absl::StrCat(file, " is no source of ", base_.file()), {}});
}

absl::Status SourceEdits::AddFile(const std::string& file) {
  absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  const absl::StatusOr<std::string> path = Match(file);
  if (!path.ok()) return path.status();
  const absl::StatusOr<SourceEdit*> edit = Edit(*path);
  if (!edit.ok()) return edit.status();
  (*edit)->new_text = *std::move(text);
  ++matched_;
  given_.insert(*path);
  return absl::OkStatus();
}

absl::Status SourceEdits::CheckGenerated() {
  if (build_inputs_.empty()) return absl::OkStatus();
  std::vector<std::string> generated;
  for (const auto& [path, origin] : origins_) {
    // An edit of what is generated has what the build would make, or the author knows better.
    if (edits_.contains(path)) continue;
    const absl::StatusOr<std::string> text = OriginalText(path);
    if (!text.ok()) continue;  // reported where it is needed
    const std::set<std::string> generators = build_inputs_.GeneratorsOf(*text);
    if (generators.empty()) continue;
    generated.push_back(absl::StrCat(path, " is generated from ", absl::StrJoin(generators, ", "),
                                     ", which the diff changes"));
  }
  if (generated.empty()) return absl::OkStatus();
  return RefusalStatus({RefusalCode::kGeneratedSource, absl::StrJoin(generated, "; "), {}});
}

std::string SourceEdits::BuildFileNaming(const std::string& global) const {
  for (const std::string& path : given_) {
    if (IdentifiersIn(edits_.at(path).new_text).contains(global)) return {};
  }
  return build_inputs_.BuildFileNaming(global);
}

std::vector<std::string> SourceEdits::MacroWarnings() const {
  std::vector<std::string> warnings;
  const std::map<std::string, std::string> macros = build_inputs_.Macros();
  if (macros.empty()) return warnings;
  std::set<std::string> before;
  std::set<std::string> after;
  for (const auto& [path, edit] : edits_) {
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

absl::Status SourceEdits::CheckTwins() const {
  const auto relative = [this](const std::string& path, const Origin& origin) {
    return fs::path(path).lexically_relative(base_.units()[origin.unit].description.directory);
  };
  for (const auto& [path, edit] : edits_) {
    const auto edited = origins_.find(path);
    if (edited == origins_.end()) continue;
    for (const auto& [other, origin] : origins_) {
      if (origin.hash != edited->second.hash || edits_.contains(other) ||
          relative(other, origin) != relative(path, edited->second)) {
        continue;
      }
      return RefusalStatus(
          {RefusalCode::kSourceAmbiguous,
           absl::StrCat(path, " is recorded as ", other,
                        " too, with the same contents: units that were compiled in another folder "
                        "read that one"),
           "Compiler caches give objects of another folder. If it is the same file, build without "
           "the cache (or with -g, which makes ccache tell folders apart); if it is another one, "
           "give it too, edited or not."});
    }
  }
  return absl::OkStatus();
}

absl::Status SourceEdits::Check() {
  if (absl::Status twins = CheckTwins(); !twins.ok()) return twins;
  if (absl::Status generated = CheckGenerated(); !generated.ok()) return generated;
  if (matched_ > 0) return absl::OkStatus();
  return RefusalStatus({RefusalCode::kSourceUnknown,
                        absl::StrCat("nothing that was given touches a source of ", base_.file()),
                        absl::StrJoin(notes_, "\n")});
}

absl::StatusOr<std::string> SourceEdits::MatchDiffPath(const std::string& path,
                                                       const DiffOptions& options) {
  // Without -p the leading component is often a/ or the package's folder, seldom more.
  const size_t first = options.strip.value_or(0);
  const size_t last = options.strip.value_or(1);
  for (size_t strip = first; strip <= last; ++strip) {
    const std::string rest = StripComponents(path, strip);
    if (rest.empty()) continue;
    std::vector<std::string> matches;
    if (options.source_dir.empty()) {
      matches = EndingWith(rest);
    } else {
      const std::string absolute =
          Resolved(Normalized(Normalized(fs::current_path().string(), options.source_dir), rest));
      if (origins_.contains(absolute)) matches.push_back(absolute);
      // The tree may lie elsewhere than when the program was built.
      if (matches.empty()) matches = EndingWith(rest);
    }
    if (matches.size() > 1) {
      return RefusalStatus({RefusalCode::kSourceAmbiguous,
                            absl::StrCat(path, " may be any of ", absl::StrJoin(matches, ", "),
                                         "; give --source or -p"),
                            {}});
    }
    if (matches.empty()) continue;
    diff_root_ = matches.front().substr(0, matches.front().size() - rest.size());
    return matches.front();
  }
  return std::string();
}

absl::Status SourceEdits::AddDiff(const std::string& file, const DiffOptions& options) {
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  const absl::StatusOr<std::vector<FileDiff>> diffs = ParseDiff(*text, file);
  if (!diffs.ok()) return diffs.status();
  std::vector<const FileDiff*> created;
  size_t matched = 0;
  for (const FileDiff& diff : *diffs) {
    if (diff.Creates()) {
      created.push_back(&diff);
      continue;
    }
    absl::StatusOr<std::string> path = MatchDiffPath(diff.path(), options);
    if (!path.ok()) return path.status();
    if (path->empty()) {
      const std::string foreign = ForeignUnitOf(diff.path());
      notes_.push_back(absl::StrCat(
          file, ": ", diff.path(), " is no part of the program",
          foreign.empty() ? "" : absl::StrCat(" that patchc compiled (", foreign, " may be)"), ": ",
          diff.hunks.size(), " hunk(s) skipped"));
      build_inputs_.Add(diff);
      continue;
    }
    ++matched;
    ++matched_;
    const absl::StatusOr<SourceEdit*> edit = Edit(*path);
    if (!edit.ok()) return edit.status();
    absl::StatusOr<std::string> result = ApplyDiff((*edit)->new_text, diff, file);
    if (!result.ok()) return result.status();
    (*edit)->new_text = *std::move(result);
  }
  for (const FileDiff* diff : created) {
    if (matched == 0 && options.source_dir.empty()) {
      notes_.push_back(absl::StrCat(file, ": new file ", diff->path(), " skipped"));
      continue;
    }
    const std::string rest = StripComponents(diff->path(), options.strip.value_or(1));
    const std::string root = options.source_dir.empty()
                                 ? diff_root_
                                 : Normalized(fs::current_path().string(), options.source_dir);
    absl::StatusOr<std::string> result = ApplyDiff("", *diff, file);
    if (!result.ok()) return result.status();
    edits_[Normalized(root, rest)] = SourceEdit{{}, *std::move(result), true};
  }
  return absl::OkStatus();
}

std::map<std::string, SourceEdit> SourceEdits::Edited() const {
  std::map<std::string, SourceEdit> edited;
  for (const auto& [path, edit] : edits_) {
    if (edit.old_text != edit.new_text) edited.emplace(path, edit);
  }
  return edited;
}

}  // namespace mend::patchc
