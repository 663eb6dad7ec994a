// Modules of C++20. A unit that imports one has its inline functions, templates and types by the
// compiled interface, and does not include what that was compiled from.
#ifndef MEND_PATCHC_COMPARE_MODULE_INTERFACES_H_
#define MEND_PATCHC_COMPARE_MODULE_INTERFACES_H_

#include <map>
#include <optional>
#include <set>
#include <string>

#include "patchc/sources/source_edits.h"
#include "patchc/support/refusals.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

// The first reason why the unit was not compiled with the interfaces that the edits ask for, or
// that the program was built with. `sources`: of the modules that the unit imports.
std::optional<Refusal> RefuseModuleInterfaces(const ObjectDescription& base,
                                              const ObjectDescription& edited,
                                              const std::set<std::string>& sources,
                                              const std::map<std::string, SourceEdit>& edits);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_MODULE_INTERFACES_H_
