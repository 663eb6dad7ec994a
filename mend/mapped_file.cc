#include "mend/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/status/statusor.h"
#include "runtime/format/program_image.h"

namespace mend {

MappedFile::MappedFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  struct stat status;
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    const auto size = static_cast<size_t>(status.st_size);
    void* const bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes != MAP_FAILED) contents_ = {static_cast<const char*>(bytes), size};
  }
  close(descriptor);
}

MappedFile::~MappedFile() {
  if (!contents_.empty()) munmap(const_cast<char*>(contents_.data()), contents_.size());
}

std::vector<std::string> NamesInExecutable(std::string_view section) {
  const MappedFile executable("/proc/self/exe");
  const absl::StatusOr<std::string_view> contents = FindElfSection(executable.contents(), section);
  return contents.ok() ? NamesInSection(*contents) : std::vector<std::string>();
}

}  // namespace mend
