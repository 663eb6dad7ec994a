// Refusals as operators see them: the errno's name and text, an exit code, and a stable code.
//
// Thread safety: functions without state.
#ifndef MEND_RUNTIME_CONTROL_REFUSAL_H_
#define MEND_RUNTIME_CONTROL_REFUSAL_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/base/errno_status.h"

namespace mend {

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

#endif  // MEND_RUNTIME_CONTROL_REFUSAL_H_
