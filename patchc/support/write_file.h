// Writing the files that patchc makes.
#ifndef MEND_PATCHC_SUPPORT_WRITE_FILE_H_
#define MEND_PATCHC_SUPPORT_WRITE_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace mend::patchc {

// The file has the contents, or is as it was: they are written beside it, which then takes its
// place. What is no regular file (a device, a pipe) is written to as it is. The error, INTERNAL,
// says what the system said: "cannot write fix.mendpatch: No space left on device".
absl::Status WriteFile(const std::string& path, std::string_view contents);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SUPPORT_WRITE_FILE_H_
