// What to say of a unit that does not compile since nothing declares a function there: a header
// that the build makes of the sources (a proto.h) may do so.
#ifndef MEND_PATCHC_SOURCES_UNDECLARED_H_
#define MEND_PATCHC_SOURCES_UNDECLARED_H_

#include <map>
#include <string>

#include "patchc/sources/source_edits.h"

namespace mend::patchc {

// Of functions that Clang found undeclared in the unit, though another edited source gets them by
// the edit: no diff has the header. Empty if there are none.
std::string NotesOnUndeclared(const std::string& diagnostics, const std::string& main_source,
                              const std::map<std::string, SourceEdit>& edited);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_UNDECLARED_H_
