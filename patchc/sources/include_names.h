// Which files a source asks for by name: a file that an edit adds may be found where there was none
// (__has_include), or where another one was found until now.
#ifndef MEND_PATCHC_SOURCES_INCLUDE_NAMES_H_
#define MEND_PATCHC_SOURCES_INCLUDE_NAMES_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/format/object_description.h"

namespace mend::patchc {

// The names in its #include, #embed and __has_include, in quotes or angle brackets.
std::set<std::string> NamesAskedFor(std::string_view text);

// Where the unit's command has headers looked for, besides the folder of who includes them.
std::vector<std::string> IncludeFolders(const ObjectDescription& unit);

// Whether the name, in a source in `folder`, may mean the file.
bool MayMean(const std::string& name, const std::string& file, const std::string& folder,
             const std::vector<std::string>& include_folders);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_INCLUDE_NAMES_H_
