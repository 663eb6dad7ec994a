// The order in which a patch's units of several objects are linked.
//
// Thread safety: none needed.
#ifndef MEND_PATCHC_COMPARE_LINK_ORDER_H_
#define MEND_PATCHC_COMPARE_LINK_ORDER_H_

#include <cstddef>
#include <vector>

#include "patchc/compare/closure.h"

namespace mend::patchc {

// Indices of `objects`, whose diffs are complete: as given, but each guest module behind those
// whose new functions and data it refers to; no order serves modules that refer to one another's.
std::vector<size_t> LinkOrder(const std::vector<AffectedObject>& objects);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_LINK_ORDER_H_
