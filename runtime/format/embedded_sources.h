// The sources that an object carries beside its description, which names much of what is in them:
// it makes them smaller, and is needed to read them. It is there as long as the object is.
#ifndef MEND_RUNTIME_FORMAT_EMBEDDED_SOURCES_H_
#define MEND_RUNTIME_FORMAT_EMBEDDED_SOURCES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/format/object_description.h"

namespace mend {

// `description`: the contents of the object's section kObjectSection.
std::string SerializeSources(const std::vector<SourceText>& sources, std::string_view description);
absl::StatusOr<std::vector<SourceText>> ParseSources(std::string_view section,
                                                     std::string_view description);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_EMBEDDED_SOURCES_H_
