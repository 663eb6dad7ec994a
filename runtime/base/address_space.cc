#include "runtime/base/address_space.h"

#include <sys/mman.h>

#include "absl/strings/str_cat.h"

namespace mend {

absl::Status CheckAddressSpace(size_t bytes, const std::string& what) {
  void* const probe = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("ENOMEM: ", what, " may take ", bytes >> 20,
                     " MiB of addresses, and the process is not allowed that many (RLIMIT_AS)"));
  }
  ::munmap(probe, bytes);
  return absl::OkStatus();
}

}  // namespace mend
