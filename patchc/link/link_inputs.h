// What took part in an ordinary link, from what the linker said about it (`--trace`), and what is
// to be known about the files: the objects in link order, the shared libraries.
#ifndef MEND_PATCHC_LINK_LINK_INPUTS_H_
#define MEND_PATCHC_LINK_LINK_INPUTS_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::patchc {

struct LinkedObject {
  std::string name;   // file, or archive(member)
  std::string bytes;  // ELF relocatable
  uint32_t link = 0;  // ProgramObject's
};

struct SharedLibrary {
  std::string path;
  std::string soname;         // what DT_NEEDED says of it
  bool names_itself = false;  // has a DT_SONAME
};

struct LinkInputs {
  std::vector<LinkedObject> objects;
  std::vector<SharedLibrary> libraries;
  std::vector<std::string> other_output;  // lines of the linker that name no input
};

// `trace`: the linker's standard output. The C runtime's start files and glibc's static remainder
// are left out: the launcher has the former, the host stands for the latter.
// INVALID_ARGUMENT, UNIMPLEMENTED: an input that cannot be hosted, by name.
absl::StatusOr<LinkInputs> ReadLinkInputs(std::string_view trace);

// The objects of the program image in `file`. INVALID_ARGUMENT when it is damaged.
absl::StatusOr<std::vector<LinkedObject>> ObjectsOfImage(const std::string& file,
                                                         std::string_view image);

// Thread-locals that the objects refer to but do not define. Offsets are weak references, which
// pull nothing out of archives: the caller has to ask for the images by name.
std::set<std::string> MissingThreadLocals(const std::vector<LinkedObject>& objects);

// DT_NEEDED of an executable, in order.
absl::StatusOr<std::vector<std::string>> NeededLibraries(const std::string& path);

// Whether a file is one of the start files that Clang's driver adds to every link.
bool IsStartFile(std::string_view path);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_LINK_INPUTS_H_
