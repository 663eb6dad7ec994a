// Errors as operators see them: the kernel's errno names, an exit code, and the stable code of a
// refusal. A status whose message begins with "EBUSY: " carries its errno; any other gets the one
// that fits its code.
//
// Thread safety: functions without state.
#ifndef MEND_RUNTIME_CONTROL_ERRNO_STATUS_H_
#define MEND_RUNTIME_CONTROL_ERRNO_STATUS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace mend {

// A status whose message is "EINVAL: DETAIL".
absl::Status ErrnoStatus(int error, std::string_view detail);

struct Refusal {
  std::string errno_name;  // "EBUSY"
  std::string code;        // "MEND-E0123" when the message names one
  std::string message;     // "Device or resource busy (a transition of patch 'fix' is running)"
  int http_status = 500;
  int exit_code = 1;  // of a command that was refused so (the contract's table)
};

// REQUIRES: !status.ok()
Refusal DescribeRefusal(const absl::Status& status);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_ERRNO_STATUS_H_
