#include "runtime/transition/atomic_replace.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "runtime/base/failpoint.h"

namespace mend {

absl::Status AddNops(Patch* patch, const std::vector<Patch*>& active) {
  if (MEND_FAILPOINT("transition/add_nops")) {
    return absl::ResourceExhaustedError("ENOMEM: no memory for nop functions (failpoint)");
  }
  // Functions are matched by address: it is what a func_stack belongs to, and a name with position
  // 0 and the same name with position 1 are then no trap (rule R9).
  std::set<CodeAddress> covered;
  for (const PatchObject& object : patch->objects) {
    for (const PatchFunction& function : object.functions) covered.insert(function.old.entry);
  }
  std::map<std::string, PatchObject> nops;
  for (const Patch* const old_patch : active) {
    for (const PatchObject& object : old_patch->objects) {
      for (const PatchFunction& function : object.functions) {
        if (!covered.insert(function.old.entry).second) continue;
        PatchObject& target = nops[object.name];
        target.name = object.name;
        target.dynamic = true;
        PatchFunction nop;
        nop.old = function.old;
        nop.nop = true;
        target.functions.push_back(std::move(nop));
      }
    }
  }
  for (auto& [name, object] : nops) patch->objects.push_back(std::move(object));
  return absl::OkStatus();
}

}  // namespace mend
