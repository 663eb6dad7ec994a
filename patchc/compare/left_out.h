// Completes the summary of an object for which code was generated only where functions changed
// (codegen/leave_out.h): what was left out is what it was in the base.
#ifndef MEND_PATCHC_COMPARE_LEFT_OUT_H_
#define MEND_PATCHC_COMPARE_LEFT_OUT_H_

#include <set>
#include <string>

#include "patchc/object/fingerprint.h"

namespace mend::patchc {

// `left_out`: functions of both sides. Takes over their description, the data that only they
// refer to, and the undefined names among what they refer to.
void TakeLeftOutFromBase(const std::set<std::string>& left_out, const ObjectSummary& base,
                         ObjectSummary& edited);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_LEFT_OUT_H_
