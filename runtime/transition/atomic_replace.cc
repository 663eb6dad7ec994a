#include "runtime/transition/atomic_replace.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "runtime/base/failpoint.h"

namespace mend {
namespace {

// Functions are the same when they have the same address: it is what a func_stack belongs to. As
// long as their object is not loaded, name and position tell; position 0 counts as 1, so that it is
// no trap (rule R9).
using Place = std::tuple<std::string, std::string, unsigned>;
Place PlaceOf(const std::string& object, const PatchFunction& function) {
  return {object, function.old.name, std::max(function.old.sympos, 1u)};
}

PatchObject* FindOrAddObject(Patch* patch, const PatchObject& like) {
  for (PatchObject& object : patch->objects) {
    if (object.name == like.name) return &object;
  }
  PatchObject object;
  object.name = like.name;
  object.loaded = like.loaded;
  object.dynamic = true;
  patch->objects.push_back(std::move(object));
  return &patch->objects.back();
}

}  // namespace

absl::Status AddNops(Patch* patch, const std::vector<Patch*>& active) {
  if (MEND_FAILPOINT("transition/add_nops")) {
    return absl::ResourceExhaustedError("ENOMEM: no memory for nop functions (failpoint)");
  }
  std::set<CodeAddress> entries;
  std::set<Place> places;
  for (const PatchObject& object : patch->objects) {
    for (const PatchFunction& function : object.functions) {
      entries.insert(function.old.entry);
      places.insert(PlaceOf(object.name, function));
    }
  }
  for (const Patch* const older : active) {
    for (const PatchObject& object : older->objects) {
      for (const PatchFunction& function : object.functions) {
        const bool resolved = !function.old.entry.is_null();
        if (resolved ? !entries.insert(function.old.entry).second
                     : !places.insert(PlaceOf(object.name, function)).second) {
          continue;
        }
        PatchFunction nop;
        nop.old = function.old;
        nop.is_added = function.is_added;
        nop.nop = true;
        FindOrAddObject(patch, object)->functions.push_back(std::move(nop));
      }
    }
  }
  return absl::OkStatus();
}

void DropNops(Patch* patch) {
  for (PatchObject& object : patch->objects) {
    // They are at the end: the other functions stay where they are.
    while (!object.functions.empty() && object.functions.back().nop) object.functions.pop_back();
  }
  std::erase_if(patch->objects, [](const PatchObject& object) { return object.dynamic; });
}

}  // namespace mend
