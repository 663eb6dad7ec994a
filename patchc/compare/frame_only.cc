#include "patchc/compare/frame_only.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

using Symbols = std::set<std::string>;

// Every name that a unit had code of, also where that is in others' code alone.
Symbols KnownIn(const ObjectDescription& description) {
  Symbols known;
  for (const FunctionDescription& function : description.functions) {
    known.insert(function.name);
    known.insert(function.inlined.begin(), function.inlined.end());
  }
  for (const auto& [name, hash] : description.input_hashes) known.insert(name);
  return known;
}

bool IsAnyKnown(const Symbols& alternatives, const Symbols& known) {
  return std::any_of(alternatives.begin(), alternatives.end(),
                     [&](const std::string& name) { return known.contains(name); });
}

// Whether code of that name is `holder`'s: the optimiser's copies and parts of a function, and
// outlined loops, have names that begin with the function's.
bool IsCodeOf(const std::string& name, const std::string& holder) {
  return name == holder || absl::StartsWith(name, absl::StrCat(holder, "."));
}

// Functions of the unit with code of a holder in them.
Symbols HostsOf(const Symbols& holders, const ObjectDescription& description) {
  std::map<std::string, const FunctionDescription*> functions;
  for (const FunctionDescription& function : description.functions) {
    functions.emplace(function.name, &function);
  }
  const auto is_holder = [&](const std::string& name) {
    return std::any_of(holders.begin(), holders.end(),
                       [&](const std::string& holder) { return IsCodeOf(name, holder); });
  };
  Symbols hosts;
  for (const auto& [name, unused] : functions) {
    Symbols seen = {name};
    std::vector<std::string> worklist = {name};
    while (!worklist.empty() && !is_holder(worklist.back())) {
      const auto found = functions.find(worklist.back());
      worklist.pop_back();
      if (found == functions.end()) continue;
      for (const std::string& copy : found->second->inlined) {
        if (seen.insert(copy).second) worklist.push_back(copy);
      }
    }
    if (!worklist.empty()) hosts.insert(name);
  }
  return hosts;
}

// What the object's patch replaces of the unit's functions. Of weak ones another unit's copy may
// stand for all.
Symbols ReplacedIn(const AffectedObject& object, size_t unit) {
  Symbols replaced;
  for (const AffectedUnit& each : object.units) {
    for (const PatchedFunction& function : each.diff.functions) {
      if (each.unit == unit || function.binding == Binding::kWeak) replaced.insert(function.name);
    }
  }
  return replaced;
}

Symbols HoldersOf(const UnitRecordUse& use) {
  Symbols holders;
  for (const RecordUse* side : {&use.base, &use.edited}) {
    for (const Symbols& alternatives : side->holders) {
      holders.insert(alternatives.begin(), alternatives.end());
    }
  }
  return holders;
}

// A holder that no object knows is one that was never compiled, or one that this source has under
// another name than the object.
std::string UnknownHolder(const UnitRecordUse& use, const ObjectDescription& base) {
  const Symbols before = KnownIn(base);
  for (const Symbols& holder : use.base.holders) {
    if (!IsAnyKnown(holder, before)) return *holder.begin();
  }
  const Symbols after = KnownIn(use.description);
  for (const Symbols& holder : use.edited.holders) {
    if (!IsAnyKnown(holder, before) && !IsAnyKnown(holder, after)) return *holder.begin();
  }
  return {};
}

// A function that the edit adds is in nobody's way when a thread switches back.
std::string AddedHost(const UnitRecordUse& use, const ObjectDescription& base) {
  const Symbols before = KnownIn(base);
  for (const std::string& host : HostsOf(HoldersOf(use), use.description)) {
    if (!before.contains(host)) return host;
  }
  return {};
}

std::string ShownUnit(const BaseUnit& unit) {
  return unit.has_description ? unit.description.source : unit.member;
}

}  // namespace

void FrameOnlyRecords::Add(size_t object, size_t unit, LayoutChange change, UnitRecordUse use) {
  const std::string name = change.record;
  Record& record = records_.try_emplace(name, Record{std::move(change), {}}).first->second;
  record.uses.push_back({object, unit, std::move(use)});
}

void FrameOnlyRecords::Check(std::vector<AffectedObject>& objects, bool is_cumulative,
                             std::vector<FrameOnlyRecord>& fine) {
  for (auto& [name, record] : records_) {
    std::string reason;
    Symbols functions;
    std::set<std::pair<size_t, size_t>> looked_at;
    if (!is_cumulative) {
      reason = "the patch is not cumulative, or of a set of its own: there may be others beside it";
    }
    for (const Use& each : record.uses) {
      looked_at.insert({each.object, each.unit});
      const ObjectDescription& base = objects[each.object].base->units()[each.unit].description;
      if (const std::string unknown = UnknownHolder(each.use, base); !unknown.empty()) {
        reason = absl::StrCat(base.source, " does not have '", DisplayName(unknown),
                              "' as a function of that name");
      }
      if (const std::string added = AddedHost(each.use, base); !added.empty()) {
        reason = absl::StrCat("'", DisplayName(added), "' is new, and has one in its frame");
      }
      const Symbols replaced = ReplacedIn(objects[each.object], each.unit);
      for (const std::string& host : HostsOf(HoldersOf(each.use), base)) {
        functions.insert(host);
        if (replaced.contains(host)) continue;
        reason = absl::StrCat("'", DisplayName(host), "' (", base.source,
                              ") has one in its frame, and is not replaced");
      }
    }
    for (size_t object = 0; object < objects.size(); ++object) {
      const std::vector<BaseUnit>& units = objects[object].base->units();
      for (size_t unit = 0; unit < units.size(); ++unit) {
        const std::vector<RecordDescription>& records = units[unit].description.records;
        const bool has_record =
            std::any_of(records.begin(), records.end(),
                        [&, &name = name](const auto& each) { return each.name == name; });
        if (!has_record || looked_at.contains({object, unit}) ||
            skipped_.contains({name, object, unit})) {
          continue;
        }
        reason = absl::StrCat(ShownUnit(units[unit]),
                              " has a record of that name, which the edit does not change");
      }
    }
    Refusal& refusal = record.change.refusal;
    if (reason.empty()) {
      fine.push_back({name, refusal.message, refusal.detail, {functions.begin(), functions.end()}});
      continue;
    }
    const Use& first = record.uses.front();
    for (AffectedUnit& unit : objects[first.object].units) {
      if (unit.unit != first.unit) continue;
      unit.diff.refusals.push_back(WithReason(refusal, reason));
    }
  }
}

Refusal WithReason(Refusal refusal, const std::string& reason) {
  absl::StrAppend(&refusal.detail, "    not only in frames of changed functions: ", reason, "\n");
  return refusal;
}

}  // namespace mend::patchc
