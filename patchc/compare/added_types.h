// What a unit of a patch brings that later patches of the same process have to take for the same:
// the types of which there are objects then, and those of the variables that it adds.
#ifndef MEND_PATCHC_COMPARE_ADDED_TYPES_H_
#define MEND_PATCHC_COMPARE_ADDED_TYPES_H_

#include <set>
#include <string>
#include <vector>

#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"

namespace mend::patchc {

// Those that `base` does not have. `allowed`: names of records and enumerations that the author
// answers for.
std::vector<AddedType> AddedTypes(const ObjectDescription& base, const ObjectDescription& edited,
                                  const std::set<std::string>& allowed);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_ADDED_TYPES_H_
