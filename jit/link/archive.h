// Archives (`ar`): the objects in one.
#ifndef MEND_JIT_LINK_ARCHIVE_H_
#define MEND_JIT_LINK_ARCHIVE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::jit {

struct ArchiveMember {
  std::string name;  // ARCHIVE(MEMBER)
  std::string bytes;
};

// All members, in order. INVALID_ARGUMENT for what is no archive, or a damaged one.
absl::StatusOr<std::vector<ArchiveMember>> ReadArchive(const std::string& name,
                                                       std::string_view bytes);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_ARCHIVE_H_
