// PatchBuilder: from edited sources to a patch module: recompiles every unit that an edit reaches
// with its recorded command, compares, and writes down what changed or why there is no patch.
//
// `patchc build`, `check` and `apply` call it; one thread at a time. With more than one job it
// calls the compiler from several.
#ifndef MEND_PATCHC_COMPARE_PATCH_BUILDER_H_
#define MEND_PATCHC_COMPARE_PATCH_BUILDER_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "patchc/compare/closure.h"
#include "patchc/compare/executed_once.h"
#include "patchc/compare/frame_only.h"
#include "patchc/compare/system_headers.h"
#include "patchc/compile/clang_runner.h"
#include "patchc/compile/ordered_compile.h"
#include "patchc/object/base.h"
#include "patchc/sources/source_edits.h"
#include "runtime/format/patch_module.h"

namespace mend::patchc {

struct BuildOptions {
  std::string name;
  bool replace = true;
  std::string replace_set;
  std::vector<std::string> hold;
  std::set<std::string> allow_layout;  // records whose changed layout the author answers for
  size_t jobs = 1;                     // units that are compiled at a time
  // Compile all units that the edits reach, for what there is to say of them, even when it is
  // certain that no patch will come of it.
  bool keep_going = false;
};

struct BuildReport {
  std::string name;
  bool no_change = false;
  size_t units_compiled = 0;
  absl::Duration compile_time;
  absl::Duration compare_time;
  std::vector<UnitDiff> units;                 // those that contribute, of all objects
  std::vector<FrameOnlyRecord> frame_records;  // changed, and fine
  std::vector<Refusal> refusals;               // any: no patch
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
  PatchModule module;  // complete unless refused or without change
};

class PatchBuilder {
 public:
  // `edits` are of `objects`, the program first.
  PatchBuilder(BaseObjects& objects, SourceEdits& edits, Compiler compiler)
      : objects_(objects), edits_(edits), compiler_(std::move(compiler)) {}

  // Refusals are in the report; an error is what keeps from even finding out.
  absl::StatusOr<BuildReport> Build(const BuildOptions& options);

 private:
  // What becomes of one object, besides its AffectedObject.
  struct Part {
    std::map<std::string, SourceEdit> edited;
    std::map<size_t, std::string> compiled;  // by unit: the new object
    std::map<size_t, std::vector<AddedType>> types;
    std::map<size_t, CodeFacts> facts;
  };

  static std::set<std::string> FilesOf(const BaseUnit& unit);
  bool IsOnlyMainSourceEdited(size_t object, size_t unit) const;
  absl::Status CheckHeld(const std::vector<std::string>& hold);
  static std::map<std::string, KnownFunction> KnownFunctions(const ObjectDescription& description);
  struct ReachedUnit {
    size_t object;
    size_t unit;
  };

  absl::Status CompileUnits(const BuildOptions& options);
  absl::Status CompileUnits(const std::vector<ReachedUnit>& units, size_t jobs,
                            const BuildOptions& options);
  // All that the edits reach, in link order.
  std::vector<ReachedUnit> ReachedUnits();
  // Whether the unit has a source that may find a file which the edit adds.
  bool MayFindNewFile(size_t object, size_t unit);
  // Of those that an edited header reaches, the one that is compiled soonest, as far as its size
  // tells. units.size(): there is none.
  size_t QuickestOfHeader(const std::vector<ReachedUnit>& units) const;
  absl::StatusOr<CompileRequest> RequestFor(const ReachedUnit& unit);
  // Compares it, or says in the report why it cannot be used.
  absl::Status TakeCompiled(const ReachedUnit& unit, CompileRequest request, CompileResult result,
                            const BuildOptions& options);
  // Once more, with the author's own line numbers, for the messages; and if it compiles then, with
  // numbers apart for new lines: a macro may have made the same name of two lines.
  void CompileAgain(const ReachedUnit& unit, CompileRequest request, CompileResult& result);
  bool IsUsable(const ReachedUnit& unit, CompileRequest request, CompileResult& result);
  // Whether system headers that are other ones by now make of the unit without the edit what it
  // was; says in the report if not. They are not embedded, and what the program has loaded may be
  // the library of the older ones.
  absl::StatusOr<bool> ComesOutAsBefore(const ReachedUnit& unit);
  // The edited sources, by the author's line numbers or the program's (where new lines may have
  // numbers of their own), or the program's own.
  enum class Text { kEdited, kEditedKeepingLines, kEditedApart, kOriginal };
  absl::StatusOr<std::map<std::string, std::string>> Overlay(size_t object, size_t unit, Text text);
  // What both sides of the unit do with the records.
  std::map<std::string, UnitRecordUse> FindRecordUses(const ReachedUnit& unit,
                                                      const std::set<std::string>& records);
  // What is refused of the changes; those that may be fine go to frame_only_.
  std::vector<Refusal> RefuseLayouts(const ReachedUnit& unit, std::vector<LayoutChange> changes,
                                     const ObjectDescription& edited);
  absl::Status Explain(size_t object, ExecutedOnce& once);
  absl::Status FillModule(const BuildOptions& options);

  BaseObjects& objects_;
  SourceEdits& edits_;
  const Compiler compiler_;
  std::vector<Part> parts_;               // by object
  std::vector<AffectedObject> affected_;  // by object
  std::set<std::string> compared_records_;
  SystemHeaders system_headers_;
  std::set<std::string> named_records_;  // of those that are allowed: those that there are
  std::map<std::string, std::set<std::string>> include_names_;  // by source, once asked for
  FrameOnlyRecords frame_only_;
  // No patch can come of it, whatever the other units are like.
  bool is_refused_ = false;
  BuildReport report_;
};

// "dir/0004-fix.patch" -> "0004-fix". Characters that names of patches cannot have are '_' in it,
// and '~', which sets off generations, is '-'.
std::string PatchNameOf(const std::string& file);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_PATCH_BUILDER_H_
