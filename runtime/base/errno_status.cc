#include "runtime/base/errno_status.h"

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"

namespace mend {
namespace {

struct ErrnoEntry {
  int value;
  absl::StatusCode status;
};

// The errnos that the livepatch rules use.
constexpr ErrnoEntry kErrnos[] = {
    {EINVAL, absl::StatusCode::kInvalidArgument},
    {ENOENT, absl::StatusCode::kNotFound},
    {EBUSY, absl::StatusCode::kUnavailable},
    {EEXIST, absl::StatusCode::kAlreadyExists},
    {EACCES, absl::StatusCode::kPermissionDenied},
    {EPERM, absl::StatusCode::kPermissionDenied},
    {ENOMEM, absl::StatusCode::kResourceExhausted},
    {ETIMEDOUT, absl::StatusCode::kDeadlineExceeded},
    {ENOEXEC, absl::StatusCode::kInvalidArgument},
    {ENODEV, absl::StatusCode::kFailedPrecondition},
    {EISDIR, absl::StatusCode::kInvalidArgument},
    {ENOTDIR, absl::StatusCode::kInvalidArgument},
    {EFBIG, absl::StatusCode::kInvalidArgument},
    {EOPNOTSUPP, absl::StatusCode::kUnimplemented},
    {ECANCELED, absl::StatusCode::kCancelled},
    {EIO, absl::StatusCode::kInternal},
    {ENOSPC, absl::StatusCode::kResourceExhausted},
    {EAGAIN, absl::StatusCode::kUnavailable},
};

// Takes "ENAME: " off the front of `message`; null when there is none. Any errno that the system
// knows counts: callbacks may return others than the table has.
std::optional<int> ConsumeErrno(std::string_view* message) {
  const size_t colon = message->find(": ");
  const std::string_view name = message->substr(0, colon);
  if (colon == std::string_view::npos || name.size() < 3 || name[0] != 'E') return std::nullopt;
  for (int value = 1; value < 134; ++value) {
    const char* known = ::strerrorname_np(value);
    if (known != nullptr && name == known) {
      message->remove_prefix(colon + 2);
      return value;
    }
  }
  return std::nullopt;
}

int ErrnoOfCode(absl::StatusCode code) {
  // A refusal for the state that things are in has no errno of its own; livepatch says EINVAL.
  if (code == absl::StatusCode::kFailedPrecondition) return EINVAL;
  for (const ErrnoEntry& entry : kErrnos) {
    if (entry.status == code) return entry.value;
  }
  return EIO;
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view detail) {
  absl::StatusCode code = absl::StatusCode::kFailedPrecondition;
  for (const ErrnoEntry& entry : kErrnos) {
    if (entry.value == error) code = entry.status;
  }
  const char* const name = ::strerrorname_np(error);
  return absl::Status(code, absl::StrCat(name == nullptr ? "EIO" : name, ": ",
                                         absl::string_view(detail.data(), detail.size())));
}

ErrnoDetail ErrnoOf(const absl::Status& status) {
  MEND_CHECK(!status.ok(), "an errno needs an error");
  std::string_view detail(status.message().data(), status.message().size());
  const int error = ConsumeErrno(&detail).value_or(ErrnoOfCode(status.code()));
  return {error, detail};
}

}  // namespace mend
