#include "jit/link/status_conversion.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace mend::jit {

absl::Status ToStatus(llvm::Error error, std::string_view context) {
  if (!error) return absl::OkStatus();
  std::string text;
  llvm::handleAllErrors(std::move(error), [&text](const llvm::ErrorInfoBase& info) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", info.message());
  });
  return absl::FailedPreconditionError(
      context.empty() ? text : absl::StrCat(std::string(context), ": ", text));
}

llvm::Error ToError(const absl::Status& status) {
  if (status.ok()) return llvm::Error::success();
  return llvm::createStringError(llvm::inconvertibleErrorCode(), "%s",
                                 std::string(status.message()).c_str());
}

}  // namespace mend::jit
