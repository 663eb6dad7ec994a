#include "runtime/base/read_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace mend {
namespace {

constexpr std::streamsize kBlock = 1 << 16;
// More than any program has. A device may have no end.
constexpr size_t kSizeMax = size_t{2} << 30;

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return absl::NotFoundError(absl::StrCat("cannot open '", path, "': ", std::strerror(errno)));
  }
  // In blocks: a stream's iterators take the file byte by byte, and throw when it cannot be read.
  std::string contents;
  size_t size = 0;
  do {
    contents.resize(size + kBlock);
    in.read(contents.data() + size, kBlock);
    size += static_cast<size_t>(in.gcount());
  } while (in && size <= kSizeMax);
  if (size > kSizeMax) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is larger than 2 GiB"));
  }
  if (in.bad()) {
    return absl::UnavailableError(absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
  }
  contents.resize(size);
  return contents;
}

}  // namespace mend
