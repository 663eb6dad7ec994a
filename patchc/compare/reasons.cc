#include "patchc/compare/reasons.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "llvm/Demangle/Demangle.h"
#include "patchc/object/loop_flags.h"
#include "patchc/sources/line_directives.h"

namespace mend::patchc {
namespace {

// How many causes a reason names.
constexpr size_t kCausesMax = 3;

// The name that a function has in its source, without scope and parameters.
std::string SourceName(std::string symbol) {
  if (const std::string_view outer = FunctionOfLoopBody(symbol); !outer.empty()) {
    symbol.resize(outer.size());
  }
  llvm::ItaniumPartialDemangler demangler;
  if (demangler.partialDemangle(symbol.c_str()) || !demangler.isFunction()) {
    return symbol.substr(0, symbol.find('.'));
  }
  size_t size = 0;
  char* const name = demangler.getFunctionBaseName(nullptr, &size);
  std::string result = name == nullptr ? symbol : name;
  std::free(name);
  return result;
}

std::string FileName(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

// The shortest chain of inlined functions from `caller` to one that `is_cause`, without the caller.
template <typename IsCause>
std::vector<std::string> InlineChain(const CodeFacts& facts, const std::string& caller,
                                     const IsCause& is_cause) {
  std::map<std::string, std::string> reached_from = {{caller, {}}};
  std::vector<std::string> queue = {caller};
  for (size_t next = 0; next < queue.size(); ++next) {
    const std::string at = queue[next];
    if (at != caller && is_cause(at)) {
      std::vector<std::string> chain;
      for (std::string name = at; name != caller; name = reached_from[name]) chain.push_back(name);
      std::reverse(chain.begin(), chain.end());
      return chain;
    }
    const auto callees = facts.inlined.find(at);
    if (callees == facts.inlined.end()) continue;
    for (const std::string& callee : callees->second) {
      if (reached_from.try_emplace(callee, at).second) queue.push_back(callee);
    }
  }
  return {};
}

std::string ShowChain(const std::vector<std::string>& chain) {
  std::string text = DisplayName(chain.front());
  for (size_t i = 1; i < chain.size(); ++i) {
    absl::StrAppend(&text, ", which inlines ", DisplayName(chain[i]));
  }
  return text;
}

}  // namespace

Reasons::Reasons(const std::map<std::string, SourceEdit>& edited) {
  for (const auto& [path, edit] : edited) {
    Places& places = places_[path];
    const std::string file = FileName(path);
    const SourceScan old_scan = ScanSource(edit.old_text);
    const SourceScan new_scan = ScanSource(edit.new_text);
    for (const ChangedRegion& region : CompareLines(edit.old_text, edit.new_text)) {
      const auto add = [&](const SourceScan& scan, size_t begin, size_t end) {
        for (size_t line = begin; line < end; ++line) {
          const std::string place = absl::StrCat(file, ":", line + 1);
          if (const FunctionSpan* const function = scan.FunctionAt(line)) {
            places.Add(*function, place);
          } else if (places.outside.empty()) {
            places.outside = place;
          }
        }
      };
      add(new_scan, region.new_begin, region.new_end);
      add(old_scan, region.old_begin, region.old_end);
    }
  }
}

void Reasons::Places::Add(const FunctionSpan& span, const std::string& place) {
  const auto is_same = [&span](const TouchedFunction& known) {
    return known.span.name == span.name && known.span.macro_arguments == span.macro_arguments;
  };
  if (std::none_of(functions.begin(), functions.end(), is_same)) {
    functions.push_back({span, place});
  }
}

const Reasons::TouchedFunction* Reasons::Places::Find(const std::string& symbol) const {
  const std::string name = SourceName(symbol);
  const auto found =
      std::find_if(functions.begin(), functions.end(),
                   [&name](const TouchedFunction& known) { return known.span.MayBe(name); });
  return found == functions.end() ? nullptr : &*found;
}

void Reasons::Explain(const std::set<std::string>& files, const CodeFacts& facts,
                      UnitDiff& diff) const {
  Places touched;
  for (const auto& [path, places] : places_) {
    if (!files.contains(path)) continue;
    for (const TouchedFunction& function : places.functions) {
      touched.Add(function.span, function.place);
    }
    if (touched.outside.empty()) touched.outside = places.outside;
  }
  for (PatchedFunction& function : diff.functions) {
    if (function.reason == ChangeReason::kReadsConstant) {
      function.detail = absl::StrJoin(diff.changed_constants, ", ");
    } else {
      ExplainOne(touched, facts, function);
    }
  }
}

void Reasons::ExplainOne(const Places& touched, const CodeFacts& facts, PatchedFunction& function) {
  if (const TouchedFunction* const own = touched.Find(function.name)) {
    function.detail = own->place;
    return;
  }
  const std::vector<std::string> chain =
      InlineChain(facts, function.name,
                  [&touched](const std::string& name) { return touched.Find(name) != nullptr; });
  if (!chain.empty()) {
    function.reason = ChangeReason::kInlines;
    function.detail = ShowChain(chain);
    return;
  }
  if (!touched.outside.empty()) {
    function.detail = absl::StrCat("follows from ", touched.outside);
    return;
  }
  // What it inlined before the edit, and does not any more.
  std::vector<std::string> causes;
  for (const TouchedFunction& cause : touched.functions) {
    if (causes.size() == kCausesMax) break;
    causes.push_back(cause.span.macro_arguments.empty()
                         ? cause.span.name
                         : absl::StrCat(cause.span.name, "(",
                                        absl::StrJoin(cause.span.macro_arguments, ", "), ")"));
  }
  if (!causes.empty()) {
    function.detail =
        absl::StrCat("compiled otherwise since the change of ", absl::StrJoin(causes, ", "));
  }
}

namespace {

constexpr char kOtherInterface[] =
    "the edit changes which variables its loop works on, or how it is left, so a loop that runs "
    "cannot go on with the new code";

// Of constants whose addresses the unit's functions hand on: who keeps one has the old value.
// Whether anybody does cannot be seen.
std::vector<std::string> AddressWarnings(const std::string& source, const CodeFacts& facts,
                                         const std::set<std::string>& tables,
                                         const UnitDiff& diff) {
  std::vector<std::string> warnings;
  for (const std::string& constant : diff.changed_constants) {
    const auto givers = facts.address_givers.find(constant);
    if (givers == facts.address_givers.end() || tables.contains(constant)) continue;
    warnings.push_back(
        absl::StrCat(source, ": constant '", ShownDatum(constant), "' changed, whose address '",
                     DisplayName(*givers->second.begin()), "'",
                     givers->second.size() == 1 ? " hands" : " and others hand",
                     " on: what has kept the address goes on reading the old value"));
  }
  return warnings;
}

// Of tables that the unit's functions hand on to who keeps what stands in them: commands, options,
// callbacks. Whether that has been done already cannot be seen.
absl::StatusOr<std::vector<std::string>> ConstantWarnings(Base& base, size_t unit,
                                                          const CodeFacts& facts,
                                                          const UnitDiff& diff) {
  std::vector<std::string> warnings;
  std::set<std::string> tables;
  const absl::StatusOr<const ObjectSummary*> summary = base.Summary(unit);
  if (!summary.ok()) return summary.status();
  const auto is_function = [&](const std::string& symbol) {
    return FindNamed((*summary)->functions, symbol) != nullptr ||
           (*summary)->undefined.contains(symbol);
  };
  for (const std::string& table : diff.changed_constants) {
    const auto details = (*summary)->details.find(table);
    if (details == (*summary)->details.end() ||
        std::none_of(details->second.references.begin(), details->second.references.end(),
                     is_function)) {
      continue;
    }
    std::vector<std::string> readers;
    for (const PatchedFunction& function : diff.functions) {
      const auto reader = (*summary)->details.find(function.name);
      if (function.reason == ChangeReason::kReadsConstant && reader != (*summary)->details.end() &&
          reader->second.references.contains(table)) {
        readers.push_back(absl::StrCat("'", DisplayName(function.name), "'"));
      }
    }
    if (readers.empty()) continue;
    tables.insert(table);
    warnings.push_back(absl::StrCat(
        base.units()[unit].description.source, ": table '", table, "' changed, which ",
        absl::StrJoin(readers, ", "), readers.size() == 1 ? " reads" : " read",
        ": what has been registered of the old table stays, and what the new one adds is not "
        "registered until that runs again"));
  }
  const std::string& source = base.units()[unit].description.source;
  for (std::string& warning : AddressWarnings(source, facts, tables, diff)) {
    warnings.push_back(std::move(warning));
  }
  return warnings;
}

// 'main' -> 'start': the last one is who calls.
std::string ShowCallers(const std::vector<std::string>& chain) {
  std::vector<std::string> names;
  for (const std::string& name : chain) names.push_back(absl::StrCat("'", DisplayName(name), "'"));
  return absl::StrJoin(names, " -> ");
}

// Whether a loop of the function has a body that is no version of the one it had.
bool HasOtherBody(const ObjectDescription& unit, const std::string& function,
                  const UnitDiff& diff) {
  const auto is_body = [&function](const std::string& name) {
    return FunctionOfLoopBody(name) == function;
  };
  return std::any_of(diff.new_functions.begin(), diff.new_functions.end(), is_body) &&
         std::any_of(unit.functions.begin(), unit.functions.end(),
                     [&](const auto& known) { return is_body(known.name); });
}

// What can be done about a loop that takes no patch, or why it takes none all the same.
std::string LoopHint(const ObjectDescription& unit, const std::string& function,
                     const UnitDiff& diff) {
  std::vector<std::string> arguments = unit.arguments;
  if (!TakeLoopFlags(arguments).enabled) {
    return absl::StrCat("; in a program built with -fmend-loops", function == "main" ? "=main" : "",
                        ", what is inside of its loop takes effect with the next turn");
  }
  if (HasOtherBody(unit, function, diff)) return absl::StrCat("; ", kOtherInterface);
  return "; of such a function, a running loop takes only what is inside of it (-fmend-loops)";
}

}  // namespace

absl::StatusOr<std::vector<std::string>> EffectWarnings(Base& base, size_t unit,
                                                        const CodeFacts& facts,
                                                        const UnitDiff& diff, ExecutedOnce& once) {
  absl::StatusOr<std::vector<std::string>> constants = ConstantWarnings(base, unit, facts, diff);
  if (!constants.ok()) return constants.status();
  std::vector<std::string> warnings = *std::move(constants);
  const std::string& source = base.units()[unit].description.source;
  for (const PatchedFunction& function : diff.functions) {
    // A body is what the function around it calls, turn for turn.
    if (!FunctionOfLoopBody(function.name).empty()) continue;
    const std::string hint = LoopHint(base.units()[unit].description, function.name, diff);
    if (function.name == "main") {
      warnings.push_back(absl::StrCat(
          source,
          ": 'main' changed: it stays on its thread's stack until the program ends, so the "
          "transition cannot complete while it runs",
          hint));
      continue;
    }
    const std::string shown = absl::StrCat(source, ": '", DisplayName(function.name), "' ");
    if (facts.endless.contains(function.name)) {
      warnings.push_back(absl::StrCat(
          shown,
          "loops and never returns: a thread that is in it keeps the old code, and the "
          "transition waits for that thread",
          hint));
    } else if (HasOtherBody(base.units()[unit].description, function.name, diff)) {
      warnings.push_back(absl::StrCat(shown, "changed: ", kOtherInterface));
    }
    if (!base.module().empty()) continue;
    const absl::StatusOr<std::vector<std::string>> callers =
        once.CallersOf(unit, function.name, function.binding);
    if (!callers.ok()) return callers.status();
    if (callers->empty()) continue;
    warnings.push_back(absl::StrCat(shown, "is executed once, by ", ShowCallers(*callers),
                                    ": if that has happened, the change has no effect"));
  }
  return warnings;
}

void WarnOfInitializers(const std::vector<std::string>& changed, const std::string& source,
                        const ObjectSummary& edited, UnitDiff& diff) {
  for (const std::string& variable : changed) {
    const bool is_reached = std::any_of(
        diff.functions.begin(), diff.functions.end(), [&](const PatchedFunction& function) {
          return edited.details.at(function.name).references.contains(variable);
        });
    if (!is_reached) continue;
    diff.warnings.push_back(absl::StrCat(
        source, ": variable '", ShownDatum(variable),
        "' keeps its value where it has been initialised; its new initialiser does not run again"));
  }
}

}  // namespace mend::patchc
