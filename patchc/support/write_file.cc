#include "patchc/support/write_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

// The system's reason; 0: written. A file that was created is closed, and may be cut off.
int WriteInto(const std::string& path, std::string_view contents) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return errno;
  int error = 0;
  while (error == 0 && !contents.empty()) {
    const ssize_t size = ::write(fd, contents.data(), contents.size());
    if (size > 0) {
      contents.remove_prefix(static_cast<size_t>(size));
    } else if (size == 0 || errno != EINTR) {
      error = size == 0 ? ENOSPC : errno;
    }
  }
  // Some file systems tell only now.
  if (::close(fd) != 0 && error == 0) error = errno;
  return error;
}

}  // namespace

absl::Status WriteFile(const std::string& path, std::string_view contents) {
  struct stat before;
  const bool is_special = ::stat(path.c_str(), &before) == 0 && !S_ISREG(before.st_mode);
  const std::string beside = absl::StrCat(path, ".", ::getpid(), ".part");
  int error = WriteInto(is_special ? path : beside, contents);
  if (!is_special) {
    if (error == 0 && std::rename(beside.c_str(), path.c_str()) != 0) error = errno;
    if (error != 0) ::unlink(beside.c_str());
  }
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot write ", path, ": ", std::strerror(error)));
}

}  // namespace mend::patchc
