// What a diff adds that counts by being there: variables that the build registers, and declarations
// of <mend/livepatch.h>.
#ifndef MEND_PATCHC_COMPARE_DECLARATIONS_H_
#define MEND_PATCHC_COMPARE_DECLARATIONS_H_

#include <vector>

#include "patchc/compare/closure.h"
#include "patchc/sources/source_edits.h"

namespace mend::patchc {

// A new variable that a list of the build names, such as a server's list of modules, is only alive
// when the generated code registers it.
void RefuseWhatTheBuildRegisters(const SourceEdits& edits, std::vector<AffectedObject>& objects);

// Of what the patch declares by <mend/livepatch.h>: what is there twice, or in a guest module.
void RefuseDeclarations(std::vector<AffectedObject>& objects);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_DECLARATIONS_H_
