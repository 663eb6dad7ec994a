// GuestFile: the file of a guest module, found as the native loader would find it.
//
// Thread safety: all functions are thread-safe.
#ifndef MEND_MEND_GUEST_FILE_H_
#define MEND_MEND_GUEST_FILE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mend/mapped_file.h"

namespace mend {

// A file as the native loader calls it, and by its real path. It is read once: what is looked at is
// what is loaded.
struct GuestFile {
  std::string name;
  std::string path;
  std::string_view contents;
  std::shared_ptr<const MappedFile> file;  // whose contents they are; null: the caller's
};

// The guest module that the name means; nothing when it means no such file. `folders`: where to
// look before the executable's.
std::optional<GuestFile> FindGuestModule(const std::string& name,
                                         std::vector<std::string> folders = {});

// Whether the file is a guest module that the executable has taken in, as it was linked.
bool IsPartOfProgram(std::string_view file);

// By its real path, or as it is where there is no such file.
std::string RealPath(const std::string& path);

}  // namespace mend

#endif  // MEND_MEND_GUEST_FILE_H_
