// Definitions of one name in several units: the linker has taken one of them, a strong one before
// weak ones. Weak ones that stand in a group (inline functions, instances of templates) are the
// same wherever they stand; of all others those that were not taken are nobody's, and which is
// taken must not change, since the units that use it are not compiled again.
#ifndef MEND_PATCHC_COMPARE_DEFINITIONS_H_
#define MEND_PATCHC_COMPARE_DEFINITIONS_H_

#include <vector>

#include "absl/status/status.h"
#include "patchc/compare/closure.h"
#include "patchc/object/base.h"

namespace mend::patchc {

// Takes out of the units' diffs what the program has from another unit, which stays there as it is:
// the edited one is as little the program's as the one before.
void DropHiddenDefinitions(const Base& base, std::vector<AffectedUnit>& units);

// Refuses, in its unit, what would make the linker take another unit's definition than it has.
absl::Status RefuseOtherDefinitions(Base& base, std::vector<AffectedUnit>& units);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_DEFINITIONS_H_
