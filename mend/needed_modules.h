// NeededModules: what a guest module's file says of the guest modules that it was linked with,
// which the native loader would open before it.
//
// Thread safety: none needed.
#ifndef MEND_MEND_NEEDED_MODULES_H_
#define MEND_MEND_NEEDED_MODULES_H_

#include <string>
#include <string_view>
#include <vector>

namespace mend {

struct NeededModules {
  std::vector<std::string> names;    // as in DT_NEEDED
  std::vector<std::string> folders;  // of DT_RUNPATH (DT_RPATH), with $ORIGIN filled in
  bool binds_now = false;            // linked with -z now
  bool stays = false;                // linked with -z nodelete
};

// Of the file at `path`, a real path, with these contents. No names when it is no guest module.
NeededModules ReadNeededModules(const std::string& path, std::string_view file);

}  // namespace mend

#endif  // MEND_MEND_NEEDED_MODULES_H_
