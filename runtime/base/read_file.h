// Reading a whole file.
#ifndef MEND_RUNTIME_BASE_READ_FILE_H_
#define MEND_RUNTIME_BASE_READ_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace mend {

// The contents of a file. NOT_FOUND or UNAVAILABLE with the system's reason.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_READ_FILE_H_
