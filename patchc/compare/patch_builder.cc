#include "patchc/compare/patch_builder.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "patchc/compare/added_types.h"
#include "patchc/compare/captures.h"
#include "patchc/compare/counted_names.h"
#include "patchc/compare/declarations.h"
#include "patchc/compare/exchanged_statics.h"
#include "patchc/compare/layout.h"
#include "patchc/compare/left_out.h"
#include "patchc/compare/link_order.h"
#include "patchc/compare/module_interfaces.h"
#include "patchc/compare/reasons.h"
#include "patchc/object/object_writer.h"
#include "patchc/sources/include_names.h"
#include "patchc/sources/line_directives.h"
#include "patchc/sources/undeclared.h"
#include "runtime/format/function_request.h"
#include "runtime/patch/patch_name.h"

namespace mend::patchc {
namespace {

std::string MainSourceOf(const BaseUnit& unit) {
  return SourceEdits::Normalized(unit.description.directory, unit.description.source);
}

// The unit as it was compiled, without its source.
CompileRequest CompiledAgain(const ObjectDescription& unit) {
  return {.directory = unit.directory,
          .language = unit.language,
          .arguments = unit.arguments,
          .output = unit.output,
          .source_date_s = unit.source_date_s,
          .overlay = {},
          .known_functions = {},
          .unedited = {},
          .errors_only = true};
}

}  // namespace

std::string PatchNameOf(const std::string& file) {
  std::string name = std::filesystem::path(file).stem().string();
  name.resize(std::min(name.size(), kPatchNameMax));
  std::replace(name.begin(), name.end(), '~', '-');
  for (char& c : name) {
    if (!IsPatchName({&c, 1}) && c != '.') c = '_';
  }
  if (name.starts_with('.')) name[0] = '_';
  return name;
}

absl::StatusOr<BuildReport> PatchBuilder::Build(const BuildOptions& options) {
  report_.name = options.name;
  report_.notes = edits_.notes();
  report_.warnings = edits_.MacroWarnings();
  for (std::string& warning : edits_.NewUnitWarnings()) {
    report_.warnings.push_back(std::move(warning));
  }
  if (absl::Status held = CheckHeld(options.hold); !held.ok()) return held;
  parts_.resize(objects_.size());
  for (size_t object = 0; object < objects_.size(); ++object) {
    affected_.push_back({.base = &objects_[object], .units = {}});
    parts_[object].edited = edits_.Edited(object);
  }
  if (absl::Status compiled = CompileUnits(options); !compiled.ok()) return compiled;
  const absl::Time begin = absl::Now();
  if (report_.refusals.empty()) {
    if (absl::Status closed = CloseOverObjects(affected_); !closed.ok()) return closed;
    RefuseWhatTheBuildRegisters(edits_, affected_);
    RefuseDeclarations(affected_);
    const bool is_cumulative = options.replace && options.replace_set.empty();
    if (!is_refused_) frame_only_.Check(affected_, is_cumulative, report_.frame_records);
  }
  ExecutedOnce once(&objects_);
  for (size_t object = 0; object < objects_.size(); ++object) {
    if (absl::Status explained = Explain(object, once); !explained.ok()) return explained;
  }
  if (absl::Status filled = FillModule(options); !filled.ok()) return filled;
  report_.no_change = report_.refusals.empty() && report_.module.units.empty();
  if (!report_.no_change) {
    for (std::string& warning : edits_.MacroValueWarnings()) {
      report_.warnings.push_back(std::move(warning));
    }
  }
  report_.compare_time += absl::Now() - begin;
  return std::move(report_);
}

bool PatchBuilder::MayFindNewFile(size_t object, size_t unit) {
  std::vector<std::string> added;
  for (const auto& [path, edit] : parts_[object].edited) {
    if (edit.is_new_file) added.push_back(path);
  }
  if (added.empty()) return false;
  const BaseUnit& base_unit = objects_[object].units()[unit];
  const std::vector<std::string> folders = IncludeFolders(base_unit.description);
  for (const SourceDescription& source : base_unit.description.sources) {
    if (source.is_system) continue;
    const std::string path = SourceEdits::Normalized(base_unit.description.directory, source.path);
    const auto [names, is_new] = include_names_.try_emplace(path);
    if (is_new) {
      // What is missing is reported where it is needed.
      const absl::StatusOr<std::string> text = edits_.OriginalText(object, path);
      if (text.ok()) names->second = NamesAskedFor(*text);
    }
    const std::string folder = std::filesystem::path(path).parent_path().string();
    for (const std::string& name : names->second) {
      if (std::any_of(added.begin(), added.end(), [&](const std::string& file) {
            return MayMean(name, file, folder, folders);
          })) {
        return true;
      }
    }
  }
  return false;
}

std::vector<PatchBuilder::ReachedUnit> PatchBuilder::ReachedUnits() {
  std::vector<ReachedUnit> reached;
  for (size_t object = 0; object < objects_.size(); ++object) {
    const auto& edited = parts_[object].edited;
    for (size_t i = 0; i < objects_[object].units().size(); ++i) {
      const std::set<std::string> files = FilesOf(objects_[object].units()[i]);
      const bool is_reached = std::any_of(edited.begin(), edited.end(), [&](const auto& edit) {
        return files.contains(edit.first);
      });
      if (is_reached || MayFindNewFile(object, i)) reached.push_back({object, i});
    }
  }
  return reached;
}

size_t PatchBuilder::QuickestOfHeader(const std::vector<ReachedUnit>& units) const {
  size_t quickest = units.size();
  size_t least = 0;
  for (size_t i = 0; i < units.size(); ++i) {
    const auto [object, unit] = units[i];
    const size_t size = objects_[object].units()[unit].object.size();
    if (IsOnlyMainSourceEdited(object, unit) || (quickest < units.size() && size >= least)) {
      continue;
    }
    quickest = i;
    least = size;
  }
  return quickest;
}

absl::Status PatchBuilder::CompileUnits(const BuildOptions& options) {
  std::vector<ReachedUnit> units = ReachedUnits();
  const size_t reached = units.size();
  const absl::Time begin = absl::Now();
  // What is refused for a header is mostly refused for the first unit that includes it. So a quick
  // one comes first, whatever the number of jobs, and goes ahead alone where others would wait.
  const size_t first = QuickestOfHeader(units);
  if (first < reached) {
    const auto begin_of_rest = units.begin() + static_cast<std::ptrdiff_t>(first);
    std::rotate(units.begin(), begin_of_rest, begin_of_rest + 1);
    if (reached > options.jobs) {
      if (absl::Status compiled = CompileUnits({units.front()}, 1, options); !compiled.ok()) {
        return compiled;
      }
      units.erase(units.begin());
    }
  }
  if (!is_refused_ || options.keep_going) {
    if (absl::Status compiled = CompileUnits(units, options.jobs, options); !compiled.ok()) {
      return compiled;
    }
  }
  for (AffectedObject& object : affected_) {
    std::sort(object.units.begin(), object.units.end(),
              [](const AffectedUnit& a, const AffectedUnit& b) { return a.unit < b.unit; });
  }
  report_.compile_time = absl::Now() - begin - report_.compare_time;
  for (const std::string& record : options.allow_layout) {
    // Those of lambdas and blocks are named after their functions.
    if (named_records_.contains(record) || record.find("::(") != record.npos) continue;
    report_.warnings.push_back(absl::StrCat(
        "--allow-layout ", record, ": no unit that the edit reaches has a record of that name"));
  }
  if (report_.units_compiled < reached) {
    report_.notes.push_back(absl::StrCat(
        reached - report_.units_compiled, " of ", reached,
        " units that the edits reach were not compiled: no patch can come of it (--keep-going "
        "compiles them all)"));
  }
  return absl::OkStatus();
}

absl::Status PatchBuilder::CompileUnits(const std::vector<ReachedUnit>& units, size_t jobs,
                                        const BuildOptions& options) {
  const CompileOrder order = {
      .count = units.size(),
      .prepare = [&](size_t i) { return RequestFor(units[i]); },
      .take = [&](size_t i, CompileRequest request,
                  CompileResult result) -> absl::StatusOr<AfterUnit> {
        absl::Status taken = TakeCompiled(units[i], std::move(request), std::move(result), options);
        if (!taken.ok()) return taken;
        return is_refused_ && !options.keep_going ? AfterUnit::kStop : AfterUnit::kContinue;
      }};
  return CompileInOrder(order, jobs, compiler_);
}

absl::Status PatchBuilder::Explain(size_t object, ExecutedOnce& once) {
  Base& base = objects_[object];
  Part& part = parts_[object];
  const Reasons reasons(part.edited);
  for (AffectedUnit& unit : affected_[object].units) {
    const CodeFacts& facts = part.facts[unit.unit];
    reasons.Explain(FilesOf(base.units()[unit.unit]), facts, unit.diff);
    absl::StatusOr<std::vector<std::string>> warnings =
        EffectWarnings(base, unit.unit, facts, unit.diff, once);
    if (!warnings.ok()) return warnings.status();
    for (std::string& warning : *warnings) unit.diff.warnings.push_back(std::move(warning));
    for (Refusal& refusal : unit.diff.refusals) report_.refusals.push_back(std::move(refusal));
    for (std::string& warning : unit.diff.warnings) report_.warnings.push_back(std::move(warning));
  }
  return absl::OkStatus();
}

std::set<std::string> PatchBuilder::FilesOf(const BaseUnit& unit) {
  std::set<std::string> files;
  for (const SourceDescription& source : unit.description.sources) {
    files.insert(SourceEdits::Normalized(unit.description.directory, source.path));
  }
  return files;
}

absl::Status PatchBuilder::CheckHeld(const std::vector<std::string>& hold) {
  for (const std::string& request : hold) {
    const FunctionRequest parsed = ParseFunctionRequest(request);
    bool is_known = false;
    for (const Base& base : objects_) {
      if (base.module() != parsed.object) continue;
      for (const BaseUnit& unit : base.units()) {
        const auto& functions = unit.description.functions;
        is_known = is_known || std::any_of(functions.begin(), functions.end(), [&](const auto& f) {
                     return IsNameOfFunction(parsed.function, f.name, DisplayName(f.name));
                   });
      }
    }
    if (!is_known) {
      return RefusalStatus({RefusalCode::kHoldUnknown, absl::StrCat("--hold ", request), {}});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> PatchBuilder::Overlay(size_t object, size_t unit,
                                                                         Text text) {
  // Sources come as the object was built from them, whatever the disk holds by now.
  std::map<std::string, std::string> overlay;
  const Part& part = parts_[object];
  const BaseUnit& base_unit = objects_[object].units()[unit];
  for (const SourceDescription& source : base_unit.description.sources) {
    if (source.is_system) continue;
    const std::string path = SourceEdits::Normalized(base_unit.description.directory, source.path);
    if (text != Text::kOriginal && part.edited.contains(path)) continue;
    absl::StatusOr<std::string> original = edits_.OriginalText(object, path);
    if (!original.ok()) return original.status();
    overlay[path] = *std::move(original);
  }
  if (text == Text::kOriginal) return overlay;
  for (const auto& [path, edit] : part.edited) {
    if (text == Text::kEdited || edit.is_new_file) {
      overlay[path] = edit.new_text;
    } else {
      const NewLines lines = text == Text::kEditedApart ? NewLines::kApart : NewLines::kCountOn;
      overlay[path] = KeepLineNumbers(edit.old_text, edit.new_text, lines);
    }
  }
  return overlay;
}

std::map<std::string, KnownFunction> PatchBuilder::KnownFunctions(
    const ObjectDescription& description) {
  std::map<std::string, KnownFunction> known;
  for (const FunctionDescription& function : description.functions) {
    KnownFunction& entry = known[function.name];
    entry.ir_hash = function.ir_hash;
    entry.has_code = true;
    entry.copies.insert(function.inlined.begin(), function.inlined.end());
  }
  // What the optimiser makes of others, as of a coroutine, has no input. It would be missing if
  // these were left out.
  const bool are_all_inputs = std::all_of(known.begin(), known.end(), [&](const auto& function) {
    return description.input_hashes.contains(function.first);
  });
  if (!are_all_inputs) return known;
  for (const auto& [name, hash] : description.input_hashes) known[name].input_hash = hash;
  return known;
}

bool PatchBuilder::IsOnlyMainSourceEdited(size_t object, size_t unit) const {
  const BaseUnit& base_unit = objects_[object].units()[unit];
  const std::string main = MainSourceOf(base_unit);
  const std::set<std::string> files = FilesOf(base_unit);
  const auto& edited = parts_[object].edited;
  return std::all_of(edited.begin(), edited.end(), [&](const auto& edit) {
    // A new header may come before one that was found until now.
    return edit.first == main || !(files.contains(edit.first) || edit.second.is_new_file);
  });
}

absl::StatusOr<CompileRequest> PatchBuilder::RequestFor(const ReachedUnit& reached) {
  const auto [object, unit] = reached;
  const ObjectDescription& description = objects_[object].units()[unit].description;
  CompileRequest request = CompiledAgain(description);
  request.known_functions = KnownFunctions(description);
  absl::StatusOr<std::map<std::string, std::string>> overlay =
      Overlay(object, unit, Text::kEditedKeepingLines);
  if (!overlay.ok()) return overlay.status();
  request.overlay = *std::move(overlay);
  if (IsOnlyMainSourceEdited(object, unit)) {
    const std::string main = MainSourceOf(objects_[object].units()[unit]);
    absl::StatusOr<std::string> text = edits_.OriginalText(object, main);
    if (text.ok()) request.unedited = SourceText{main, *std::move(text)};
  }
  return request;
}

void PatchBuilder::CompileAgain(const ReachedUnit& reached, CompileRequest request,
                                CompileResult& result) {
  const auto compile = [&](Text text) {
    absl::StatusOr<std::map<std::string, std::string>> overlay =
        Overlay(reached.object, reached.unit, text);
    if (!overlay.ok()) return result;
    request.overlay = *std::move(overlay);
    return compiler_(request);
  };
  const bool errors_only = std::exchange(request.errors_only, false);
  const CompileResult by_author = compile(Text::kEdited);
  if (!by_author.ok) {
    result.diagnostics = by_author.diagnostics;
    return;
  }
  request.errors_only = errors_only;
  CompileResult apart = compile(Text::kEditedApart);
  if (apart.ok) result = std::move(apart);
}

bool PatchBuilder::IsUsable(const ReachedUnit& reached, CompileRequest request,
                            CompileResult& result) {
  const auto [object, unit] = reached;
  const ObjectDescription& description = objects_[object].units()[unit].description;
  if (!result.ok) CompileAgain(reached, std::move(request), result);
  if (!result.ok) {
    report_.refusals.push_back(
        {RefusalCode::kCompileError, absl::StrCat(description.source, " does not compile"),
         absl::StrCat(
             result.diagnostics,
             NotesOnUndeclared(result.diagnostics, MainSourceOf(objects_[object].units()[unit]),
                               parts_[object].edited))});
    return false;
  }
  if (result.description.compiler != description.compiler) {
    report_.refusals.push_back(
        {RefusalCode::kCompilerDiffers,
         absl::StrCat(description.source, " was compiled by '", description.compiler,
                      "', this is '", result.description.compiler, "'"),
         {}});
    return false;
  }
  if (std::optional<Refusal> refusal = RefuseModuleInterfaces(
          description, result.description, result.module_sources, parts_[object].edited)) {
    report_.refusals.push_back(*std::move(refusal));
    return false;
  }
  return true;
}

absl::StatusOr<bool> PatchBuilder::ComesOutAsBefore(const ReachedUnit& reached) {
  const auto [object, unit] = reached;
  Base& base = objects_[object];
  const ObjectDescription& description = base.units()[unit].description;
  const std::string header = system_headers_.FindChanged(description);
  if (header.empty()) return true;
  CompileRequest request = CompiledAgain(description);
  request.known_functions = KnownFunctions(description);
  absl::StatusOr<std::map<std::string, std::string>> overlay =
      Overlay(object, unit, Text::kOriginal);
  if (!overlay.ok()) return overlay.status();
  request.overlay = *std::move(overlay);
  const CompileResult result = compiler_(request);
  std::string difference = result.ok ? "" : "it does not compile any more";
  if (result.ok) {
    const absl::StatusOr<const ObjectSummary*> before = base.Summary(unit);
    if (!before.ok()) return before.status();
    absl::StatusOr<ObjectSummary> now = SummarizeObject(result.object);
    if (!now.ok()) return now.status();
    TakePatchable(result.description.functions, *now);
    TakeLeftOutFromBase(result.left_out, **before, *now);
    difference = FirstDifference(CompareUnit({description, **before, *now}));
  }
  if (difference.empty()) {
    report_.warnings.push_back(absl::StrCat(
        description.source, ": ", header,
        " has changed since it was compiled; what is in the program comes out as it was"));
    return true;
  }
  report_.refusals.push_back(
      {RefusalCode::kBaseMismatch,
       absl::StrCat(header, " has changed since ", description.source,
                    " was compiled, which comes out otherwise without any edit: ", difference),
       {}});
  return false;
}

absl::Status PatchBuilder::TakeCompiled(const ReachedUnit& reached, CompileRequest request,
                                        CompileResult result, const BuildOptions& options) {
  const auto [object, unit] = reached;
  ++report_.units_compiled;
  std::optional<std::set<std::string>> spelled = IdentifiersBesideCounter(request.overlay);
  if (!IsUsable(reached, std::move(request), result)) {
    is_refused_ = true;
    return absl::OkStatus();
  }
  const absl::StatusOr<bool> is_as_before = ComesOutAsBefore(reached);
  if (!is_as_before.ok()) return is_as_before.status();
  if (!*is_as_before) {
    is_refused_ = true;
    return absl::OkStatus();
  }
  const absl::Time compiled = absl::Now();
  Base& base = objects_[object];
  const ObjectDescription& description = base.units()[unit].description;
  const absl::StatusOr<const ObjectSummary*> base_summary = base.Summary(unit);
  if (!base_summary.ok()) return base_summary.status();
  absl::StatusOr<ObjectSummary> edited = SummarizeObject(result.object);
  if (!edited.ok()) return edited.status();
  TakePatchable(result.description.functions, *edited);
  TakeLeftOutFromBase(result.left_out, **base_summary, *edited);
  UnitDiff diff = CompareUnit({description, **base_summary, *edited, std::move(spelled),
                               base.NewlyDefined(**base_summary, *edited)});
  diff.module = base.module();
  for (const PatchedFunction& function : diff.functions) {
    // It has no code: the comparison sees a difference that hashes of IR do not have.
    if (!result.left_out.contains(function.name)) continue;
    return absl::InternalError(absl::StrCat(description.source, ": '", DisplayName(function.name),
                                            "' changed, and was left out"));
  }
  for (const RecordDescription& record : result.description.records) {
    if (options.allow_layout.contains(record.name)) named_records_.insert(record.name);
  }
  std::vector<LayoutChange> changes =
      CompareRecords(description.records, result.description.records, options.allow_layout);
  // Code that stays as it is has nothing to do with what changed of a record.
  const bool stays = diff.IsEmpty() && diff.refusals.empty() && diff.changed_constants.empty();
  std::vector<Refusal> layouts;
  if (stays) {
    for (const LayoutChange& change : changes) frame_only_.Skip(object, unit, change.record);
  } else {
    layouts = RefuseLayouts(reached, std::move(changes), result.description);
  }
  for (Refusal& refusal : CompareVariables(description.variables, result.description.variables)) {
    layouts.push_back(std::move(refusal));
  }
  for (Refusal& refusal : RefuseCaptures({description, **base_summary, *edited}, result.description,
                                         diff, options.allow_layout)) {
    layouts.push_back(std::move(refusal));
  }
  for (Refusal& refusal :
       RefuseExchangedStatics({description, **base_summary, *edited}, result.description, diff)) {
    layouts.push_back(std::move(refusal));
  }
  if (HasNewAssembler(description.records, result.description.records)) {
    layouts.push_back({RefusalCode::kNotPatchable,
                       absl::StrCat(description.source, ": assembler outside of functions changed"),
                       {}});
  }
  for (const ChangedConstant& constant :
       ChangedConstants(description.records, result.description.records)) {
    // A header's is the same in every unit that includes it.
    if (!compared_records_.insert(constant.name).second) continue;
    diff.warnings.push_back(absl::StrCat(
        "'", constant.name, "' is ", constant.new_value, " in the patch, and ", constant.old_value,
        " in the running program: what that has stored, sent or sized by it stays"));
  }
  WarnOfInitializers(ChangedInitializers(description.variables, result.description.variables),
                     description.source, *edited, diff);
  for (Refusal& refusal : layouts) {
    is_refused_ = true;
    // A header's record is the same in every unit that includes it.
    if (compared_records_.insert(refusal.message).second) {
      diff.refusals.push_back(std::move(refusal));
    }
  }
  affected_[object].units.push_back({unit, *std::move(edited), std::move(diff)});
  parts_[object].compiled[unit] = std::move(result.object);
  parts_[object].types[unit] = AddedTypes(description, result.description, options.allow_layout);
  parts_[object].facts[unit] = std::move(result.facts);
  report_.compare_time += absl::Now() - compiled;
  return absl::OkStatus();
}

std::map<std::string, UnitRecordUse> PatchBuilder::FindRecordUses(
    const ReachedUnit& reached, const std::set<std::string>& records) {
  const auto [object, unit] = reached;
  const ObjectDescription& description = objects_[object].units()[unit].description;
  std::map<std::string, UnitRecordUse> uses;
  for (const Text text : {Text::kOriginal, Text::kEdited}) {
    CompileRequest request = CompiledAgain(description);
    request.records = records;
    absl::StatusOr<std::map<std::string, std::string>> overlay = Overlay(object, unit, text);
    CompileResult result;
    if (overlay.ok()) {
      request.overlay = *std::move(overlay);
      result = compiler_(request);
    }
    for (const std::string& record : records) {
      RecordUse& use = text == Text::kOriginal ? uses[record].base : uses[record].edited;
      use = std::move(result.record_uses[record]);
      if (!result.ok) use.escape = "its source cannot be read again";
    }
    const bool all_escape = std::all_of(uses.begin(), uses.end(), [](const auto& each) {
      return !each.second.base.escape.empty();
    });
    if (all_escape) break;
  }
  return uses;
}

std::vector<Refusal> PatchBuilder::RefuseLayouts(const ReachedUnit& reached,
                                                 std::vector<LayoutChange> changes,
                                                 const ObjectDescription& edited) {
  std::set<std::string> candidates;
  for (const LayoutChange& change : changes) {
    if (change.refusal.code == RefusalCode::kRecordLayout && change.kind != "enum" &&
        change.kind != "renamed") {
      candidates.insert(change.record);
    }
  }
  std::map<std::string, UnitRecordUse> uses;
  if (!candidates.empty()) uses = FindRecordUses(reached, candidates);
  std::vector<Refusal> refusals;
  for (LayoutChange& change : changes) {
    const auto found = uses.find(change.record);
    if (found == uses.end()) {
      refusals.push_back(std::move(change.refusal));
      continue;
    }
    UnitRecordUse& use = found->second;
    const std::string& escape = use.base.escape.empty() ? use.edited.escape : use.base.escape;
    if (!escape.empty()) {
      refusals.push_back(WithReason(std::move(change.refusal), escape));
      continue;
    }
    UnitRecordUse own = use;
    own.description.functions = edited.functions;
    own.description.input_hashes = edited.input_hashes;
    frame_only_.Add(reached.object, reached.unit, std::move(change), std::move(own));
  }
  return refusals;
}

absl::Status PatchBuilder::FillModule(const BuildOptions& options) {
  report_.module.name = options.name;
  report_.module.replace = options.replace;
  report_.module.replace_set = options.replace_set;
  report_.module.hold = options.hold;
  for (const FrameOnlyRecord& record : report_.frame_records) {
    if (!record.functions.empty()) report_.module.changed_layouts.push_back(record.record);
  }
  for (const size_t object : LinkOrder(affected_)) {
    Base& base = objects_[object];
    for (AffectedUnit& unit : affected_[object].units) {
      // Data that nothing in a patch reaches would be dropped by the linker.
      if (unit.diff.IsEmpty()) continue;
      for (PatchedFunction& function : unit.diff.functions) {
        function.position = base.PositionOf(function.name, function.binding, unit.unit);
      }
      PatchUnit part;
      part.module = base.module();
      part.unit = unit.diff.unit;
      part.functions = unit.diff.functions;
      part.new_functions = unit.diff.new_functions;
      part.new_data = unit.diff.new_data;
      part.references = unit.diff.references;
      part.types = std::move(parts_[object].types[unit.unit]);
      part.object = std::move(parts_[object].compiled[unit.unit]);
      if (absl::Status aside = SetDebugRelocationsAside(part.object); !aside.ok()) return aside;
      report_.module.units.push_back(std::move(part));
      report_.units.push_back(std::move(unit.diff));
    }
  }
  return absl::OkStatus();
}

}  // namespace mend::patchc
