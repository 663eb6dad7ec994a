// Lambdas whose captures changed, and lambdas or local classes of one name that changed places. One
// that outlives the function it stands in, as in a std::function, a thread or a task, holds what it
// captured then, and new code for it would take that for what it captures now; and it would run the
// code of whatever has its place.
#ifndef MEND_PATCHC_COMPARE_CAPTURES_H_
#define MEND_PATCHC_COMPARE_CAPTURES_H_

#include <set>
#include <string>
#include <vector>

#include "patchc/compare/module_diff.h"

namespace mend::patchc {

// A refusal for each function with such ones, if code that belongs to one of them is replaced
// and is called by its address, which tells what outlives a frame. What direct calls alone reach,
// as an algorithm's predicate, is replaced with all its callers: its objects lie in their frames.
// `allowed`: "FUNCTION::(lambda)", "FUNCTION::(block)" and "FUNCTION::CLASS", which the author
// answers for.
std::vector<Refusal> RefuseCaptures(const UnitSides& sides, const ObjectDescription& edited,
                                    const UnitDiff& diff, const std::set<std::string>& allowed);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_CAPTURES_H_
