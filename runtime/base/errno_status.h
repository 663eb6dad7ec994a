// Statuses that carry an errno, as the livepatch rules and operators know errors: the message
// begins with its name ("EBUSY: ..."). Any other status has the errno that fits its code.
//
// Thread safety: functions without state.
#ifndef MEND_RUNTIME_BASE_ERRNO_STATUS_H_
#define MEND_RUNTIME_BASE_ERRNO_STATUS_H_

#include <string_view>

#include "absl/status/status.h"

namespace mend {

// A status whose message is "EINVAL: DETAIL".
absl::Status ErrnoStatus(int error, std::string_view detail);

struct ErrnoDetail {
  int error;                // positive
  std::string_view detail;  // the message without the errno's name; points into the status
};

// REQUIRES: !status.ok()
ErrnoDetail ErrnoOf(const absl::Status& status);

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_ERRNO_STATUS_H_
