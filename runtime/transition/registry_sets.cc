// Replace sets: a cumulative patch takes with it the active patches of its set, and those alone.
// Sets are independent of one another because no function and no state is in two of them. And a
// patch that changes the layout of records has no other one beside it, of whatever set.
#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/transition/registry_state.h"

namespace mend {
namespace {

// Object, name, position: 0 and 1 are the same, as in atomic_replace.cc.
using Place = std::tuple<std::string, std::string, unsigned>;

absl::Status Refuse(const std::string& what, const Patch& owner) {
  const std::string set =
      owner.replace_set.empty() ? "the usual set" : absl::StrCat("set '", owner.replace_set, "'");
  return ErrnoStatus(EINVAL, absl::StrCat(what, " belongs to patch '", owner.name, "' of ", set));
}

absl::Status CheckLayouts(const Patch& patch, const Patch& beside) {
  if (patch.changed_layouts.empty()) return absl::OkStatus();
  return ErrnoStatus(
      EINVAL,
      absl::StrCat("patch '", patch.name, "' changes the layout of '",
                   patch.changed_layouts.front(), "', and '", beside.name,
                   "' beside it would have the program's: make one cumulative patch of both"));
}

}  // namespace

std::vector<Patch*> PatchRegistry::State::ReplacedByLocked(const Patch& patch) const {
  std::vector<Patch*> replaced;
  if (!patch.replace) return replaced;
  std::copy_if(active_.begin(), active_.end(), std::back_inserter(replaced),
               [&patch](const Patch* active) { return active->replace_set == patch.replace_set; });
  return replaced;
}

absl::Status PatchRegistry::State::CheckSetLocked(const Patch& patch) const {
  for (const Patch* const active : active_) {
    if (patch.replace && active->replace_set == patch.replace_set) continue;
    if (absl::Status apart = CheckLayouts(*active, patch); !apart.ok()) return apart;
    if (absl::Status apart = CheckLayouts(patch, *active); !apart.ok()) return apart;
  }
  std::map<CodeAddress, const Patch*> entries;
  std::map<Place, const Patch*> places;
  std::map<unsigned long, const Patch*> states;
  for (const Patch* const active : active_) {
    if (active->replace_set == patch.replace_set) continue;
    for (const SystemState& state : active->states) states.emplace(state.id, active);
    for (const PatchObject& object : active->objects) {
      for (const PatchFunction& function : object.functions) {
        const FunctionSite& old = function.old;
        places.emplace(Place(object.name, old.name, std::max(old.sympos, 1u)), active);
        if (!old.entry.is_null()) entries.emplace(old.entry, active);
      }
    }
  }
  for (const SystemState& state : patch.states) {
    const auto owner = states.find(state.id);
    if (owner != states.end()) return Refuse(absl::StrCat("state ", state.id), *owner->second);
  }
  for (const PatchObject& object : patch.objects) {
    for (const PatchFunction& function : object.functions) {
      const FunctionSite& old = function.old;
      const std::string shown = absl::StrCat("function '", old.name, "'");
      const auto same_place = places.find(Place(object.name, old.name, std::max(old.sympos, 1u)));
      if (same_place != places.end()) return Refuse(shown, *same_place->second);
      const auto same_entry = entries.find(old.entry);
      if (same_entry != entries.end()) return Refuse(shown, *same_entry->second);
    }
  }
  return absl::OkStatus();
}

}  // namespace mend
