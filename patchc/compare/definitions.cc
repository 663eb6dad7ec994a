#include "patchc/compare/definitions.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

// What a unit defines for others under a name.
struct Definition {
  Binding binding = Binding::kGlobal;
  bool is_in_group = false;
  std::string contents;  // of a datum: its fingerprint
};

using Definitions = std::map<std::string, Definition>;

Definitions DefinitionsIn(const ObjectSummary& unit) {
  Definitions definitions;
  const auto add = [&](const std::string& name, Binding binding, const std::string& contents) {
    if (binding == Binding::kLocal) return;
    definitions[name] = {binding, unit.details.at(name).is_in_group, contents};
  };
  for (const FunctionDescription& function : unit.functions) {
    add(function.name, function.binding, std::string());
  }
  for (const DataDescription& datum : unit.data) add(datum.name, datum.binding, datum.fingerprint);
  return definitions;
}

std::optional<Definition> DefinitionIn(const ObjectSummary& unit, const std::string& name) {
  const auto details = unit.details.find(name);
  if (details == unit.details.end()) return std::nullopt;
  Definition definition;
  definition.is_in_group = details->second.is_in_group;
  if (const FunctionDescription* const function = FindNamed(unit.functions, name)) {
    definition.binding = function->binding;
  } else if (const DataDescription* const datum = FindNamed(unit.data, name)) {
    definition.binding = datum->binding;
    definition.contents = datum->fingerprint;
  }
  if (definition.binding == Binding::kLocal) return std::nullopt;
  return definition;
}

// Whether the unit has a weak definition of its own that is not the program's.
bool IsHidden(const Base& base, const AffectedUnit& unit, const std::string& name) {
  const std::optional<Definition> own = DefinitionIn(unit.edited, name);
  const std::optional<size_t> definer = base.Definer(name);
  return own.has_value() && own->binding == Binding::kWeak && definer.has_value() &&
         *definer != unit.unit;
}

bool IsReplacedIn(const AffectedUnit& unit, const std::string& name) {
  return std::any_of(unit.diff.functions.begin(), unit.diff.functions.end(),
                     [&name](const PatchedFunction& function) { return function.name == name; });
}

// Whether the definition that the program has stays as it is.
bool StaysElsewhere(const Base& base, const std::vector<AffectedUnit>& units,
                    const std::string& name) {
  const std::optional<size_t> definer = base.Definer(name);
  for (const AffectedUnit& unit : units) {
    if (unit.unit != definer) continue;
    return DefinitionIn(unit.edited, name).has_value() && !IsReplacedIn(unit, name);
  }
  return true;
}

class Chooser {
 public:
  Chooser(Base& base, std::vector<AffectedUnit>& units) : base_(base), units_(units) {
    for (AffectedUnit& unit : units_) by_index_[unit.unit] = &unit;
  }

  absl::Status Refuse() {
    for (AffectedUnit& unit : units_) {
      const absl::StatusOr<const ObjectSummary*> before = base_.Summary(unit.unit);
      if (!before.ok()) return before.status();
      for (const std::string& name : Changed(DefinitionsIn(**before), DefinitionsIn(unit.edited))) {
        if (!seen_.insert(name).second) continue;
        if (absl::Status compared = Compare(name, unit); !compared.ok()) return compared;
      }
    }
    return absl::OkStatus();
  }

 private:
  // What one of the two has, or both with another binding.
  static std::set<std::string> Changed(const Definitions& before, const Definitions& after) {
    std::set<std::string> changed;
    const auto compare = [&changed](const Definitions& from, const Definitions& to) {
      for (const auto& [name, definition] : from) {
        const auto other = to.find(name);
        const bool is_same = other != to.end() && other->second.binding == definition.binding;
        if (!is_same) changed.insert(name);
      }
    };
    compare(before, after);
    compare(after, before);
    return changed;
  }

  const std::string& SourceOf(size_t unit) const {
    const BaseUnit& base_unit = base_.units()[unit];
    return base_unit.has_description ? base_unit.description.source : base_unit.member;
  }

  absl::StatusOr<std::optional<Definition>> Before(size_t unit, const std::string& name) {
    const absl::StatusOr<const ObjectSummary*> summary = base_.Summary(unit);
    if (!summary.ok()) return summary.status();
    return DefinitionIn(**summary, name);
  }

  absl::StatusOr<std::optional<Definition>> After(size_t unit, const std::string& name) {
    const auto affected = by_index_.find(unit);
    if (affected == by_index_.end()) return Before(unit, name);
    return DefinitionIn(affected->second->edited, name);
  }

  // The unit whose definition the linker takes of the edited program's, and that.
  absl::StatusOr<std::optional<std::pair<size_t, Definition>>> Taken(const std::string& name) {
    std::optional<std::pair<size_t, Definition>> taken;
    for (size_t i = 0; i < base_.units().size(); ++i) {
      absl::StatusOr<std::optional<Definition>> definition = After(i, name);
      if (!definition.ok()) return definition.status();
      if (!definition->has_value()) continue;
      const bool is_better = !taken || (taken->second.binding == Binding::kWeak &&
                                        (*definition)->binding == Binding::kGlobal);
      if (is_better) taken.emplace(i, **std::move(definition));
    }
    return taken;
  }

  absl::Status Compare(const std::string& name, AffectedUnit& unit) {
    const std::optional<size_t> before = base_.Definer(name);
    if (!before) return absl::OkStatus();
    const auto after = Taken(name);
    if (!after.ok()) return after.status();
    if (!after->has_value() || (*after)->first == *before) return absl::OkStatus();
    const auto [taken, definition] = **after;
    const absl::StatusOr<std::optional<Definition>> old = Before(*before, name);
    if (!old.ok()) return old.status();
    const absl::StatusOr<std::optional<Definition>> rest = After(*before, name);
    if (!rest.ok()) return rest.status();
    const absl::StatusOr<std::optional<Definition>> known = Before(taken, name);
    if (!known.ok()) return known.status();
    if (!old->has_value()) return absl::OkStatus();
    const bool is_moved = !known->has_value() && !rest->has_value();
    // Refused as a duplicate.
    const bool is_new = !known->has_value() && definition.binding == Binding::kGlobal;
    const bool is_of_group = (*old)->is_in_group || (rest->has_value() && definition.is_in_group);
    // A variable goes on by its name.
    const bool is_same_variable =
        !definition.contents.empty() && definition.contents == (*old)->contents;
    if (is_moved || is_new || is_of_group || is_same_variable) return absl::OkStatus();
    const RefusalCode gone =
        (*old)->contents.empty() ? RefusalCode::kFunctionGone : RefusalCode::kDataGone;
    unit.diff.refusals.push_back(
        {rest->has_value() ? RefusalCode::kSymbolDuplicate : gone,
         absl::StrCat(SourceOf(*before), ": '", ShownDatum(name), "' ",
                      rest->has_value() ? "stays" : "is gone or static", ", and that of ",
                      SourceOf(taken), " would take its place"),
         {}});
    return absl::OkStatus();
  }

  Base& base_;
  std::vector<AffectedUnit>& units_;
  std::map<size_t, AffectedUnit*> by_index_;
  std::set<std::string> seen_;
};

}  // namespace

void DropHiddenDefinitions(const Base& base, std::vector<AffectedUnit>& units) {
  for (AffectedUnit& unit : units) {
    std::erase_if(unit.diff.functions, [&](const PatchedFunction& function) {
      const std::string& name = function.name;
      const bool is_in_group = unit.edited.details.at(name).is_in_group;
      return IsHidden(base, unit, name) && (!is_in_group || StaysElsewhere(base, units, name));
    });
    std::erase_if(unit.diff.changed_constants, [&](const std::string& constant) {
      // Of those in groups each unit's code may have a copy of its own.
      const bool is_hidden =
          !unit.edited.details.at(constant).is_in_group && IsHidden(base, unit, constant);
      if (is_hidden) std::erase(unit.diff.new_data, constant);
      return is_hidden;
    });
    for (DataReference& reference : unit.diff.references) {
      const std::optional<Definition> own = DefinitionIn(unit.edited, reference.name);
      const bool is_other =
          own.has_value() && !own->is_in_group && IsHidden(base, unit, reference.name);
      if (is_other) reference.base_fingerprint.clear();
    }
  }
}

absl::Status RefuseOtherDefinitions(Base& base, std::vector<AffectedUnit>& units) {
  return Chooser(base, units).Refuse();
}

}  // namespace mend::patchc
