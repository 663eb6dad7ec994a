#include "runtime/control/errno_status.h"

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
  int http_status;
};

// The errnos that the livepatch rules and this server use.
constexpr ErrnoEntry kErrnos[] = {
    {EINVAL, absl::StatusCode::kInvalidArgument, 400},
    {ENOENT, absl::StatusCode::kNotFound, 404},
    {EBUSY, absl::StatusCode::kUnavailable, 409},
    {EEXIST, absl::StatusCode::kAlreadyExists, 409},
    {EACCES, absl::StatusCode::kPermissionDenied, 403},
    {EPERM, absl::StatusCode::kPermissionDenied, 403},
    {ENOMEM, absl::StatusCode::kResourceExhausted, 507},
    {ETIMEDOUT, absl::StatusCode::kDeadlineExceeded, 504},
    {ENOEXEC, absl::StatusCode::kInvalidArgument, 400},
    {ENODEV, absl::StatusCode::kFailedPrecondition, 409},
    {EISDIR, absl::StatusCode::kInvalidArgument, 400},
    {ENOTDIR, absl::StatusCode::kInvalidArgument, 400},
    {EFBIG, absl::StatusCode::kInvalidArgument, 413},
    {EOPNOTSUPP, absl::StatusCode::kUnimplemented, 501},
    {ECANCELED, absl::StatusCode::kCancelled, 503},
    {EIO, absl::StatusCode::kInternal, 500},
    {ENOSPC, absl::StatusCode::kResourceExhausted, 507},
    {EAGAIN, absl::StatusCode::kUnavailable, 503},
};

const ErrnoEntry* FindErrno(int value) {
  for (const ErrnoEntry& entry : kErrnos) {
    if (entry.value == value) return &entry;
  }
  return nullptr;
}

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

std::string StableCode(std::string_view message) {
  static constexpr std::string_view kPrefix = "MEND-E";
  const size_t at = message.find(kPrefix);
  if (at == std::string_view::npos) return {};
  const size_t end = message.find_first_not_of("0123456789", at + kPrefix.size());
  return std::string(message.substr(at, end == std::string_view::npos ? end : end - at));
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view detail) {
  const ErrnoEntry* const entry = FindErrno(error);
  const char* const name = ::strerrorname_np(error);
  return absl::Status(entry == nullptr ? absl::StatusCode::kFailedPrecondition : entry->status,
                      absl::StrCat(name == nullptr ? "EIO" : name, ": ",
                                   absl::string_view(detail.data(), detail.size())));
}

Refusal DescribeRefusal(const absl::Status& status) {
  MEND_CHECK(!status.ok(), "a refusal needs an error");
  std::string_view detail(status.message().data(), status.message().size());
  const int error = ConsumeErrno(&detail).value_or(ErrnoOfCode(status.code()));
  const ErrnoEntry* const entry = FindErrno(error);
  Refusal refusal;
  refusal.errno_name = ::strerrorname_np(error);
  refusal.code = StableCode(detail);
  refusal.message = ::strerrordesc_np(error);
  if (!detail.empty() && detail != refusal.message) {
    absl::StrAppend(&refusal.message, " (", absl::string_view(detail.data(), detail.size()), ")");
  }
  refusal.http_status = entry == nullptr ? 409 : entry->http_status;
  refusal.exit_code = error == ETIMEDOUT ? 4 : error == EIO ? 1 : 3;
  return refusal;
}

}  // namespace mend
