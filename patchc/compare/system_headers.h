// Headers of the system, which programs do not carry: they may have changed since a unit was
// compiled, as when a package of the system was updated.
#ifndef MEND_PATCHC_COMPARE_SYSTEM_HEADERS_H_
#define MEND_PATCHC_COMPARE_SYSTEM_HEADERS_H_

#include <map>
#include <string>

#include "patchc/compare/module_diff.h"

namespace mend::patchc {

// One thread at a time.
class SystemHeaders {
 public:
  // One that is not as the unit was compiled with it; empty: there is none.
  std::string FindChanged(const ObjectDescription& unit);

 private:
  std::map<std::string, std::string> hashes_;  // of those that have been read; empty: gone
};

// What tells a unit from what it was, for people; empty: nothing.
std::string FirstDifference(const UnitDiff& diff);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_SYSTEM_HEADERS_H_
