#include "patchc/compare/closure.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/compare/definitions.h"
#include "patchc/compare/static_identity.h"

namespace mend::patchc {
namespace {

// Names in one message.
constexpr size_t kShownMax = 3;

void EraseName(std::vector<std::string>& names, const std::string& name) {
  names.erase(std::remove(names.begin(), names.end(), name), names.end());
}

class Closer {
 public:
  // `modules`: guest modules that may refer to what the object has.
  Closer(AffectedObject& object, std::vector<AffectedObject*> modules)
      : base_(*object.base), units_(object.units), modules_(std::move(modules)) {
    for (AffectedUnit& unit : units_) by_index_[unit.unit] = &unit;
  }

  absl::Status Close() {
    DropHiddenDefinitions(base_, units_);
    for (AffectedUnit& unit : units_) {
      if (absl::Status resolved = ResolveNewFunctions(unit); !resolved.ok()) return resolved;
      if (absl::Status resolved = ResolveNewData(unit); !resolved.ok()) return resolved;
    }
    KeepOneWeakCopy();
    CheckMovedStatics();
    if (absl::Status chosen = RefuseOtherDefinitions(base_, units_); !chosen.ok()) return chosen;
    for (AffectedUnit& unit : units_) {
      if (absl::Status checked = CheckConstants(unit); !checked.ok()) return checked;
      if (absl::Status checked = CheckGone(unit); !checked.ok()) return checked;
      if (absl::Status warned = WarnOfKeptAddresses(unit); !warned.ok()) return warned;
      if (absl::Status checked = CheckLinkerSets(unit); !checked.ok()) return checked;
      if (absl::Status checked = RefuseUnknownTables(unit); !checked.ok()) return checked;
      CheckMadeGlobal(unit);
      if (unit.diff.IsEmpty() || !base_.HasTwin(unit.unit)) continue;
      unit.diff.refusals.push_back(
          {RefusalCode::kSourceAmbiguous,
           absl::StrCat(SourceOf(unit.unit), " was compiled to two units called ",
                        base_.units()[unit.unit].description.output,
                        ": a target cannot tell which is meant"),
           {}});
    }
    return absl::OkStatus();
  }

 private:
  const std::string& SourceOf(size_t unit) const {
    const BaseUnit& base_unit = base_.units()[unit];
    return base_unit.has_description ? base_unit.description.source : base_unit.member;
  }

  // Whether the unit defines the name after the edit, too.
  bool StillDefines(size_t unit, const std::string& name) const {
    const auto found = by_index_.find(unit);
    return found == by_index_.end() || found->second->edited.details.contains(name);
  }

  bool StillRefers(size_t unit, const std::string& name) const {
    const auto found = by_index_.find(unit);
    return found == by_index_.end() || found->second->edited.undefined.contains(name);
  }

  void RefuseDuplicate(AffectedUnit& unit, const std::string& name, size_t other) {
    unit.diff.refusals.push_back({RefusalCode::kSymbolDuplicate,
                                  absl::StrCat(SourceOf(unit.unit), ": '", DisplayName(name),
                                               "' is defined by ", SourceOf(other), " already"),
                                  {}});
  }

  // What is new in a unit need not be new in the program.
  absl::Status ResolveNewFunctions(AffectedUnit& unit) {
    for (const std::string& name : std::vector<std::string>(unit.diff.new_functions)) {
      const FunctionDescription* const function = FindNamed(unit.edited.functions, name);
      if (function == nullptr || function->binding == Binding::kLocal) continue;
      if (function->binding == Binding::kGlobal) {
        const auto [found, is_first] = new_definers_.try_emplace(name, unit.unit);
        if (!is_first) RefuseDuplicate(unit, name, found->second);
      }
      const std::optional<size_t> definer = base_.Definer(name);
      if (!definer && function->binding == Binding::kGlobal) {
        if (absl::Status checked = RefuseUsedBefore(unit, name); !checked.ok()) return checked;
      }
      if (!definer || *definer == unit.unit) continue;
      if (!StillDefines(*definer, name)) {
        ReplaceMoved(unit, *function, *definer);
      } else if (function->binding == Binding::kWeak) {
        EraseName(unit.diff.new_functions, name);
      } else {
        RefuseDuplicate(unit, name, *definer);
      }
    }
    return absl::OkStatus();
  }

  // Code of other units has a library's of that name, or none if it is weak, and keeps that.
  absl::Status RefuseUsedBefore(AffectedUnit& unit, const std::string& name) {
    const absl::StatusOr<std::vector<size_t>> users = base_.Users(name);
    if (!users.ok()) return users.status();
    for (const size_t user : *users) {
      if (user == unit.unit || !StillRefers(user, name)) continue;
      unit.diff.refusals.push_back(
          {RefusalCode::kSymbolDuplicate,
           absl::StrCat(SourceOf(unit.unit), ": '", DisplayName(name), "' is new, and ",
                        SourceOf(user), " refers to that name already: to a library's, or to none"),
           {}});
      break;
    }
    return absl::OkStatus();
  }

  static bool RefersToStatics(const ObjectSummary& unit, const std::string& name) {
    const std::set<std::string>& references = unit.details.at(name).references;
    return std::any_of(references.begin(), references.end(), [&unit](const std::string& target) {
      const FunctionDescription* const function = FindNamed(unit.functions, target);
      if (function != nullptr) return function->binding == Binding::kLocal;
      const DataDescription* const datum = FindNamed(unit.data, target);
      return datum != nullptr && datum->binding == Binding::kLocal;
    });
  }

  void ReplaceMoved(AffectedUnit& unit, const FunctionDescription& function, size_t from) {
    EraseName(unit.diff.new_functions, function.name);
    const FunctionDescription* const old =
        FindNamed(base_.units()[from].description.functions, function.name);
    // Statics of the two units may have the same names.
    if (old != nullptr && old->fingerprint == function.fingerprint &&
        !RefersToStatics(unit.edited, function.name)) {
      return;
    }
    PatchedFunction moved;
    moved.name = function.name;
    moved.binding = function.binding;
    moved.base_fingerprint = old == nullptr ? std::string() : old->fingerprint;
    unit.diff.functions.push_back(std::move(moved));
  }

  absl::Status ResolveNewData(AffectedUnit& unit) {
    const std::set<std::string> changed(unit.diff.changed_constants.begin(),
                                        unit.diff.changed_constants.end());
    for (const std::string& name : std::vector<std::string>(unit.diff.new_data)) {
      if (changed.contains(name)) continue;
      const DataDescription* const datum = FindNamed(unit.edited.data, name);
      if (datum == nullptr || datum->binding == Binding::kLocal) continue;
      const std::optional<size_t> definer = base_.Definer(name);
      if (!definer && datum->binding == Binding::kGlobal) {
        if (absl::Status checked = RefuseUsedBefore(unit, name); !checked.ok()) return checked;
      }
      if (!definer || *definer == unit.unit) continue;
      if (datum->binding == Binding::kGlobal && StillDefines(*definer, name)) {
        RefuseDuplicate(unit, name, *definer);
        continue;
      }
      EraseName(unit.diff.new_data, name);
      const DataDescription* const old = FindNamed(base_.units()[*definer].description.data, name);
      if (old == nullptr) continue;
      if (datum->binding == Binding::kGlobal) CheckMovedDatum(unit, *datum, *old);
      unit.diff.references.push_back({name, datum->binding, old->size, old->fingerprint});
    }
    return absl::OkStatus();
  }

  void CheckMovedDatum(AffectedUnit& unit, const DataDescription& datum,
                       const DataDescription& old) {
    if (datum.fingerprint == old.fingerprint) return;
    const RefusalCode code =
        datum.size == old.size ? RefusalCode::kDataInitializer : RefusalCode::kDataSize;
    unit.diff.refusals.push_back(
        {code,
         absl::StrCat(SourceOf(unit.unit), ": variable '", DisplayName(datum.name),
                      "' is another one than where it was moved from"),
         {}});
  }

  // A static that vanishes in one place and appears in another one keeps its name, but not its
  // value: a function was moved, or got other parameters, or a lambda before it.
  void CheckMovedStatics() {
    struct Place {
      size_t unit;
      std::string name;
    };
    std::map<std::string, Place> gone;
    for (const AffectedUnit& unit : units_) {
      for (const DataDescription& datum : base_.units()[unit.unit].description.data) {
        if (datum.is_constant || datum.binding == Binding::kGlobal ||
            FindNamed(unit.edited.data, datum.name) != nullptr || IsDefinedAnywhere(datum)) {
          continue;
        }
        gone.try_emplace(PlainName(datum.name), Place{unit.unit, datum.name});
      }
    }
    if (gone.empty()) return;
    for (AffectedUnit& unit : units_) {
      for (const std::string& name : unit.diff.new_data) {
        const DataDescription* const datum = FindNamed(unit.edited.data, name);
        if (datum == nullptr || datum->is_constant) continue;
        const auto found = gone.find(PlainName(name));
        if (found == gone.end()) {
          WarnOfOtherName(unit, *datum);
          continue;
        }
        unit.diff.refusals.push_back(
            {RefusalCode::kStaticAmbiguous,
             absl::StrCat(SourceOf(unit.unit), ": variable '", ShownDatum(name), "' is new, and '",
                          ShownDatum(found->second.name), "' of ", SourceOf(found->second.unit),
                          " is gone"),
             {}});
      }
    }
  }

  // It or its function was renamed, say, or it was moved out of one: no more than likely.
  void WarnOfOtherName(AffectedUnit& unit, const DataDescription& added) const {
    const std::string& name = added.name;
    for (const DataDescription& datum : base_.units()[unit.unit].description.data) {
      if (datum.is_constant || FindNamed(unit.edited.data, datum.name) != nullptr) continue;
      const bool is_alike = datum.size == added.size && datum.fingerprint == added.fingerprint;
      if (!is_alike && InnerName(datum.name) != InnerName(name)) continue;
      unit.diff.warnings.push_back(absl::StrCat(
          SourceOf(unit.unit), ": variable '", ShownDatum(name),
          "' is new and begins with its initial value; '", ShownDatum(datum.name), "' is gone"));
      return;
    }
  }

  // Another unit's copy of an inline function's variable.
  bool IsDefinedAnywhere(const DataDescription& datum) const {
    if (datum.binding == Binding::kLocal) return false;
    for (const AffectedUnit& unit : units_) {
      if (FindNamed(unit.edited.data, datum.name) != nullptr) return true;
    }
    for (size_t i = 0; i < base_.units().size(); ++i) {
      if (by_index_.contains(i)) continue;
      if (FindNamed(base_.units()[i].description.data, datum.name) != nullptr) return true;
    }
    return false;
  }

  // A changed weak function is replaced once: by the copy of the unit whose old copy the program
  // uses, or of the first one that has a new copy.
  void KeepOneWeakCopy() {
    std::map<std::string, size_t> owners;
    for (const AffectedUnit& unit : units_) {
      for (const PatchedFunction& function : unit.diff.functions) {
        if (function.binding != Binding::kWeak) continue;
        const bool uses_this = base_.Definer(function.name) == unit.unit;
        if (uses_this || !owners.contains(function.name)) owners[function.name] = unit.unit;
      }
    }
    for (AffectedUnit& unit : units_) {
      auto& functions = unit.diff.functions;
      const auto kept_elsewhere = [&](const PatchedFunction& function) {
        return function.binding == Binding::kWeak && owners[function.name] != unit.unit;
      };
      functions.erase(std::remove_if(functions.begin(), functions.end(), kept_elsewhere),
                      functions.end());
      for (PatchedFunction& function : functions) {
        const std::optional<size_t> definer = base_.Definer(function.name);
        if (function.binding != Binding::kWeak || !definer || *definer == unit.unit) continue;
        const FunctionDescription* const used =
            FindNamed(base_.units()[*definer].description.functions, function.name);
        if (used != nullptr) function.base_fingerprint = used->fingerprint;
      }
    }
  }

  // A unit that refers to the name of this object after the edit, too; empty if none does.
  absl::StatusOr<std::string> FindUser(const std::string& name) {
    const absl::StatusOr<std::vector<size_t>> users = base_.Users(name);
    if (!users.ok()) return users.status();
    for (const size_t user : *users) {
      if (StillRefers(user, name)) return SourceOf(user);
    }
    for (AffectedObject* const module : modules_) {
      // A module that has the name itself means its own.
      if (module->base->Definer(name)) continue;
      const Closer its(*module, {});
      const absl::StatusOr<std::vector<size_t>> others = module->base->Users(name);
      if (!others.ok()) return others.status();
      for (const size_t user : *others) {
        if (its.StillRefers(user, name)) {
          return absl::StrCat(its.SourceOf(user), " of ", module->base->Shown());
        }
      }
    }
    return std::string();
  }

  absl::Status CheckConstants(AffectedUnit& unit) {
    for (const std::string& name : unit.diff.changed_constants) {
      const DataDescription* const datum = FindNamed(unit.edited.data, name);
      if (datum == nullptr || datum->binding == Binding::kLocal) continue;
      const absl::StatusOr<std::string> user = FindUser(name);
      if (!user.ok()) return user.status();
      if (user->empty()) continue;
      unit.diff.refusals.push_back(
          {RefusalCode::kConstantReadElsewhere,
           absl::StrCat(SourceOf(unit.unit), ": '", DisplayName(name), "' is read by ", *user),
           {}});
    }
    return absl::OkStatus();
  }

  // Names that the unit defined for others and does not any more, static ones among them.
  template <typename Description>
  std::vector<std::string> TakenBack(const AffectedUnit& unit,
                                     const std::vector<Description>& before,
                                     const std::vector<Description>& after) const {
    std::set<std::string> shared;
    for (const Description& edited : after) {
      if (edited.binding != Binding::kLocal) shared.insert(edited.name);
    }
    std::vector<std::string> names;
    for (const Description& old : before) {
      const bool was_shared =
          old.binding != Binding::kLocal && base_.Definer(old.name) == unit.unit;
      if (was_shared && !shared.contains(old.name)) names.push_back(old.name);
    }
    return names;
  }

  absl::Status CheckGone(AffectedUnit& unit) {
    const ObjectDescription& before = base_.units()[unit.unit].description;
    for (const std::string& name : TakenBack(unit, before.functions, unit.edited.functions)) {
      absl::Status checked = RefuseIfUsed(unit, name, RefusalCode::kFunctionGone, "function");
      if (!checked.ok()) return checked;
    }
    for (const std::string& name : TakenBack(unit, before.data, unit.edited.data)) {
      absl::Status checked = RefuseIfUsed(unit, name, RefusalCode::kDataGone, "variable");
      if (!checked.ok()) return checked;
    }
    return absl::OkStatus();
  }

  absl::Status RefuseIfUsed(AffectedUnit& unit, const std::string& name, RefusalCode code,
                            const char* kind) {
    if (DefinedAfterwards(name)) return absl::OkStatus();
    const absl::StatusOr<std::string> user = FindUser(name);
    if (!user.ok()) return user.status();
    if (user->empty()) return absl::OkStatus();
    unit.diff.refusals.push_back(
        {code,
         absl::StrCat(SourceOf(unit.unit), ": ", kind, " '", ShownDatum(name),
                      "' is gone, or static, but ", *user, " refers to it"),
         {}});
    return absl::OkStatus();
  }

  // Who has the address of what is gone, as a callback or in an object that lives, goes on calling
  // it: nothing stands for it.
  absl::Status WarnOfKeptAddresses(AffectedUnit& unit) {
    const absl::StatusOr<const ObjectSummary*> base = base_.Summary(unit.unit);
    if (!base.ok()) return base.status();
    std::vector<std::string> kept;
    for (const std::string& name : unit.diff.gone_functions) {
      const FunctionDescription* const old = FindNamed((*base)->functions, name);
      if (old == nullptr || (old->binding != Binding::kLocal && DefinedAfterwards(name))) continue;
      const bool is_address_taken = std::any_of(
          (*base)->details.begin(), (*base)->details.end(),
          [&name](const auto& symbol) { return symbol.second.addresses.contains(name); });
      if (is_address_taken) kept.push_back(absl::StrCat("'", DisplayName(name), "'"));
    }
    if (kept.empty()) return absl::OkStatus();
    const size_t count = kept.size();
    if (count > kShownMax) kept.resize(kShownMax);
    unit.diff.warnings.push_back(absl::StrCat(
        SourceOf(unit.unit), ": ", absl::StrJoin(kept, ", "),
        count > kShownMax ? absl::StrCat(" and ", count - kShownMax, " more") : "",
        count == 1 ? " is" : " are",
        " gone, and called by address: what has kept the address, as a callback or a lambda that "
        "lives, goes on running the old code"));
    return absl::OkStatus();
  }

  // What stands in such a table is found by its place alone, and the program's is where it is.
  absl::Status CheckLinkerSets(AffectedUnit& unit) {
    const absl::StatusOr<const ObjectSummary*> base = base_.Summary(unit.unit);
    if (!base.ok()) return base.status();
    std::map<std::string, std::string> changed;  // an entry of each by the table's name
    const auto compare = [&changed](const ObjectSummary& from, const ObjectSummary& to) {
      for (const DataDescription& datum : from.data) {
        const std::string& set = from.details.at(datum.name).linker_set;
        if (set.empty()) continue;
        const DataDescription* const other = FindNamed(to.data, datum.name);
        const bool is_same = other != nullptr && other->fingerprint == datum.fingerprint &&
                             to.details.at(datum.name).linker_set == set;
        if (!is_same) changed.emplace(set, datum.name);
      }
    };
    compare(**base, unit.edited);
    compare(unit.edited, **base);
    for (const auto& [set, entry] : changed) {
      const absl::StatusOr<std::string> user = FindUser(absl::StrCat("__start_", set));
      if (!user.ok()) return user.status();
      if (user->empty()) continue;
      unit.diff.refusals.push_back(
          {RefusalCode::kLinkerSet,
           absl::StrCat(SourceOf(unit.unit), ": '", ShownDatum(entry), "' of section '", set,
                        "', which ", *user, " goes through from '__start_", set, "'"),
           {}});
    }
    return absl::OkStatus();
  }

  // Where nobody refers to its beginning or end, the program has no such table.
  absl::Status RefuseUnknownTables(AffectedUnit& unit) {
    for (const std::string& name : unit.edited.undefined) {
      if (!name.starts_with("__start_") && !name.starts_with("__stop_")) continue;
      const absl::StatusOr<std::vector<size_t>> users = base_.Users(name);
      if (!users.ok()) return users.status();
      if (!users->empty()) continue;
      unit.diff.refusals.push_back(
          {RefusalCode::kLinkerSet,
           absl::StrCat(SourceOf(unit.unit), ": refers to '", name,
                        "', of a table that the running program does not have"),
           {}});
    }
    return absl::OkStatus();
  }

  // The running program has a static under its unit alone: what other units refer to is not there,
  // or is a library's.
  void CheckMadeGlobal(AffectedUnit& unit) {
    std::vector<std::string> brought = unit.diff.new_functions;
    brought.insert(brought.end(), unit.diff.new_data.begin(), unit.diff.new_data.end());
    for (const PatchedFunction& function : unit.diff.functions) brought.push_back(function.name);
    std::set<std::string> names;
    for (const std::string& symbol : brought) {
      for (const std::string& target : unit.edited.details.at(symbol).references) {
        if (unit.edited.undefined.contains(target)) names.insert(DatumOf(target));
      }
    }
    for (const std::string& name : names) {
      if (base_.Definer(name)) continue;
      for (const AffectedUnit& other : units_) {
        if (!IsMadeGlobal(other, name)) continue;
        unit.diff.refusals.push_back(
            {RefusalCode::kMadeGlobal,
             absl::StrCat(SourceOf(unit.unit), ": refers to '", ShownDatum(name),
                          "', which is a static of ", SourceOf(other.unit), " in the program"),
             {}});
      }
    }
  }

  bool IsMadeGlobal(const AffectedUnit& unit, const std::string& name) const {
    const ObjectDescription& base = base_.units()[unit.unit].description;
    const auto binding = [&name](const auto& functions, const auto& data) {
      const FunctionDescription* const function = FindNamed(functions, name);
      if (function != nullptr) return std::optional<Binding>(function->binding);
      const DataDescription* const datum = FindNamed(data, name);
      return datum == nullptr ? std::nullopt : std::optional<Binding>(datum->binding);
    };
    const std::optional<Binding> before = binding(base.functions, base.data);
    const std::optional<Binding> after = binding(unit.edited.functions, unit.edited.data);
    return before == Binding::kLocal && after.has_value() && after != Binding::kLocal;
  }

  bool DefinedAfterwards(const std::string& name) const {
    const auto has_shared = [&name](const auto& definitions) {
      const auto* const definition = FindNamed(definitions, name);
      return definition != nullptr && definition->binding != Binding::kLocal;
    };
    const auto defines = [&has_shared](const auto& unit) {
      return has_shared(unit.functions) || has_shared(unit.data);
    };
    for (const AffectedUnit& unit : units_) {
      if (defines(unit.edited)) return true;
    }
    for (size_t i = 0; i < base_.units().size(); ++i) {
      if (!by_index_.contains(i) && defines(base_.units()[i].description)) return true;
    }
    return false;
  }

  Base& base_;
  std::vector<AffectedUnit>& units_;
  const std::vector<AffectedObject*> modules_;
  std::map<size_t, AffectedUnit*> by_index_;
  std::map<std::string, size_t> new_definers_;
};

}  // namespace

absl::Status CloseOverObjects(std::vector<AffectedObject>& objects) {
  std::vector<AffectedObject*> modules;
  for (size_t i = 1; i < objects.size(); ++i) modules.push_back(&objects[i]);
  for (size_t i = 0; i < objects.size(); ++i) {
    // Modules refer to the program, and to nothing of one another.
    Closer closer(objects[i], i == 0 ? modules : std::vector<AffectedObject*>());
    if (absl::Status closed = closer.Close(); !closed.ok()) return closed;
  }
  return absl::OkStatus();
}

}  // namespace mend::patchc
