#include "runtime/control/refusal.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace mend {
namespace {

struct HttpEntry {
  int error;
  int http_status;
};

// What is not here is a conflict with the state that things are in: 409.
constexpr HttpEntry kHttpStatuses[] = {
    {EINVAL, 400},  {ENOENT, 404},    {EACCES, 403},     {EPERM, 403},
    {ENOMEM, 507},  {ETIMEDOUT, 504}, {ENOEXEC, 400},    {EISDIR, 400},
    {ENOTDIR, 400}, {EFBIG, 413},     {EOPNOTSUPP, 501}, {ECANCELED, 503},
    {EIO, 500},     {ENOSPC, 507},    {EAGAIN, 503},     {ERANGE, 400},
};

int HttpStatusOf(int error) {
  for (const HttpEntry& entry : kHttpStatuses) {
    if (entry.error == error) return entry.http_status;
  }
  return 409;
}

std::string StableCode(std::string_view message) {
  static constexpr std::string_view kPrefix = "MEND-E";
  const size_t at = message.find(kPrefix);
  if (at == std::string_view::npos) return {};
  const size_t end = message.find_first_not_of("0123456789", at + kPrefix.size());
  return std::string(message.substr(at, end == std::string_view::npos ? end : end - at));
}

}  // namespace

Refusal DescribeRefusal(const absl::Status& status) {
  const auto [error, detail] = ErrnoOf(status);
  Refusal refusal;
  refusal.errno_name = ::strerrorname_np(error);
  refusal.code = StableCode(detail);
  refusal.message = ::strerrordesc_np(error);
  if (!detail.empty() && detail != refusal.message) {
    absl::StrAppend(&refusal.message, " (", absl::string_view(detail.data(), detail.size()), ")");
  }
  refusal.http_status = HttpStatusOf(error);
  refusal.exit_code = error == ETIMEDOUT ? 4 : error == EIO ? 1 : 3;
  return refusal;
}

}  // namespace mend
