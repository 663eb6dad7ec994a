// LLVM's errors as absl::Status, and back: an llvm::Error never leaves jit/, and none is dropped.
#ifndef MEND_JIT_LINK_STATUS_CONVERSION_H_
#define MEND_JIT_LINK_STATUS_CONVERSION_H_

#include <string_view>

#include "absl/status/status.h"
#include "llvm/Support/Error.h"

namespace mend::jit {

// Consumes `error`; its messages, joined, become FAILED_PRECONDITION "CONTEXT: messages". OK for
// success.
absl::Status ToStatus(llvm::Error error, std::string_view context);

llvm::Error ToError(const absl::Status& status);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_STATUS_CONVERSION_H_
