// Statics of one name in one function (`{ static int n; } { static int n; }`): the compiler numbers
// them, by their order, so that an edit which exchanges two blocks would exchange the values of
// their variables.
#ifndef MEND_PATCHC_COMPARE_EXCHANGED_STATICS_H_
#define MEND_PATCHC_COMPARE_EXCHANGED_STATICS_H_

#include <vector>

#include "patchc/compare/module_diff.h"

namespace mend::patchc {

// A refusal for each group of such variables that the patch's functions use, unless the block that
// each stands in is the same, or more like the one that has its number after the edit than like any
// other.
std::vector<Refusal> RefuseExchangedStatics(const UnitSides& sides, const ObjectDescription& edited,
                                            const UnitDiff& diff);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_EXCHANGED_STATICS_H_
