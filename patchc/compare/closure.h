// Closure over the whole program: what the comparison of single units cannot see. A weak function
// (inline, template) stands in many units, of which the program uses one; functions move from unit
// to unit; a constant or a removed function may be used by units that the edit does not reach.
#ifndef MEND_PATCHC_COMPARE_CLOSURE_H_
#define MEND_PATCHC_COMPARE_CLOSURE_H_

#include <vector>

#include "absl/status/status.h"
#include "patchc/base.h"
#include "patchc/compare/module_diff.h"

namespace mend::patchc {

struct AffectedUnit {
  size_t unit = 0;  // index in Base::units()
  ObjectSummary edited;
  UnitDiff diff;
};

// Completes the diffs and adds refusals to them. `units` in link order.
absl::Status CloseOverProgram(Base& base, std::vector<AffectedUnit>& units);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_CLOSURE_H_
