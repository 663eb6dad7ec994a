// Closure over the whole program and its guest modules: what the comparison of single units cannot
// see. A weak function (inline, template) stands in many units, of which each object uses one;
// functions move from unit to unit; a constant or a removed function may be used by units that the
// edit does not reach, those of modules too when it is the program's.
#ifndef MEND_PATCHC_COMPARE_CLOSURE_H_
#define MEND_PATCHC_COMPARE_CLOSURE_H_

#include <vector>

#include "absl/status/status.h"
#include "patchc/compare/module_diff.h"
#include "patchc/object/base.h"

namespace mend::patchc {

struct AffectedUnit {
  size_t unit = 0;  // index in Base::units()
  ObjectSummary edited;
  UnitDiff diff;
};

struct AffectedObject {
  Base* base = nullptr;
  std::vector<AffectedUnit> units;  // in link order
};

// Completes the diffs and adds refusals to them. The program comes first.
absl::Status CloseOverObjects(std::vector<AffectedObject>& objects);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_CLOSURE_H_
