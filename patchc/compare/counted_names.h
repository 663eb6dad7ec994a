// Functions and statics whose names a macro makes with __COUNTER__ (`static int flag3;`): a use of
// it more, or two that are exchanged, give them one another's names, and so the one's value, and
// what has kept the one's address, to the other.
#ifndef MEND_PATCHC_COMPARE_COUNTED_NAMES_H_
#define MEND_PATCHC_COMPARE_COUNTED_NAMES_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "patchc/compare/module_diff.h"

namespace mend::patchc {

// What the sources, contents by path, name besides __COUNTER__; nothing if they do not name that.
std::optional<std::set<std::string>> IdentifiersBesideCounter(
    const std::map<std::string, std::string>& sources);

// A refusal for each group of names that nobody has spelled and that have a number behind them, if
// what they mean may have changed. REQUIRES: `diff` has the unit's functions.
std::vector<Refusal> RefuseCountedNames(const UnitSides& sides, const UnitDiff& diff);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_COUNTED_NAMES_H_
