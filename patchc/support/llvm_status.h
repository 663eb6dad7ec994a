// LLVM's errors as statuses.
#ifndef MEND_PATCHC_SUPPORT_LLVM_STATUS_H_
#define MEND_PATCHC_SUPPORT_LLVM_STATUS_H_

#include <llvm/Support/Error.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace mend::patchc {

// INVALID_ARGUMENT: `name` is the file that LLVM complains of.
inline absl::Status FromLlvm(llvm::Error error, const std::string& name) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", llvm::toString(std::move(error))));
}

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SUPPORT_LLVM_STATUS_H_
