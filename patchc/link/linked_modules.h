// Programs that are linked with guest modules (`cc -o program main.o -lfoo`, where libfoo.so was
// made by `patchc cc -shared`): the module's objects become part of the program, and its code is
// patched with the program's. The dynamic linker's rules hold on: a module's constructors run
// before the program's, and of several definitions of a symbol the program's counts, then that of
// the module that was named first.
#ifndef MEND_PATCHC_LINK_LINKED_MODULES_H_
#define MEND_PATCHC_LINK_LINKED_MODULES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "patchc/link/link_inputs.h"

namespace mend::patchc {

// A guest module as a linker sees it.
struct LinkedModule {
  std::string soname;
  std::string path;
  std::vector<LinkedObject> objects;
  std::vector<std::string> libraries;  // sonames of the native libraries that it needs
};

// Of `libraries` the guest modules that `needed` (DT_NEEDED of the link) names, in its order, each
// followed by those that it was linked with itself.
// INVALID_ARGUMENT: a file is damaged. NOT_FOUND: a module of a module is not where it was.
absl::StatusOr<std::vector<LinkedModule>> ReadLinkedModules(
    const std::vector<std::string>& needed, const std::vector<SharedLibrary>& libraries);

struct JoinedObjects {
  std::vector<LinkedObject> objects;  // the modules' first
  std::vector<std::string> notes;     // what people should know
};

// All objects of the program. Makes weak what another definition comes before. A unit that a module
// keeps to itself, and that is the program's as well, is taken once.
// FAILED_PRECONDITION when another unit's definition would replace one which its module keeps to
// itself.
absl::StatusOr<JoinedObjects> JoinObjects(std::vector<LinkedModule> modules,
                                          std::vector<LinkedObject> program);

// What kLinkedSection says of them: soname and path of each.
std::vector<std::string> LinkedNames(const std::vector<LinkedModule>& modules);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_LINKED_MODULES_H_
