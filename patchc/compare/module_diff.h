// ModuleDiff: one unit before and after an edit, function by function and datum by datum: what a
// patch has to contain, what it refers to, and why it cannot be made.
//
// The comparison is by fingerprint, so it is complete by construction: what is unchanged is
// unchanged machine code reading unchanged constants. closure.h adds what only the whole program
// can tell.
#ifndef MEND_PATCHC_COMPARE_MODULE_DIFF_H_
#define MEND_PATCHC_COMPARE_MODULE_DIFF_H_

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "patchc/object/fingerprint.h"
#include "patchc/support/refusals.h"
#include "runtime/format/patch_module.h"

namespace mend::patchc {

struct UnitDiff {
  std::string module;                      // guest module that the unit is of; empty: the program
  std::string unit;                        // ObjectDescription::UnitName
  std::vector<PatchedFunction> functions;  // changed; detail is empty still
  std::vector<std::string> new_functions;
  std::vector<std::string> new_data;           // new, or constants that changed
  std::vector<std::string> changed_constants;  // those of new_data that the base has too
  std::vector<std::string> gone_functions;
  std::vector<DataReference> references;
  std::vector<Refusal> refusals;
  std::vector<std::string> warnings;

  // Whether the unit contributes anything to a patch.
  bool IsEmpty() const { return functions.empty() && new_functions.empty() && new_data.empty(); }
};

struct UnitSides {
  const ObjectDescription& description;  // of the base
  const ObjectSummary& base;
  const ObjectSummary& edited;
  // Identifiers in its sources, if these name __COUNTER__.
  std::optional<std::set<std::string>> spelled = {};
  // What the base unit refers to, nothing in the program defines, and the edited unit does.
  std::set<std::string> newly_defined = {};
};

UnitDiff CompareUnit(const UnitSides& sides);

// The function or datum of that name in a unit's list of them; nullptr without one.
template <typename Description>
const Description* FindNamed(const std::vector<Description>& list, const std::string& name) {
  const auto found =
      std::find_if(list.begin(), list.end(),
                   [&name](const Description& description) { return description.name == name; });
  return found == list.end() ? nullptr : &*found;
}

// The datum that a reference means: code names a thread-local by its offset, an object defines its
// initial image.
std::string DatumOf(const std::string& reference);
std::string_view WithoutImagePrefix(std::string_view name);

// The name for people: demangled, with what the linker would say for C.
std::string DisplayName(const std::string& symbol);
// That of a datum, which the image of a thread-local stands for.
std::string ShownDatum(std::string_view symbol);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_MODULE_DIFF_H_
