// patchc build --explicit: from sources and objects that use <mend/livepatch.h> to a patch module.
#ifndef MEND_PATCHC_COMMANDS_BUILD_EXPLICIT_H_
#define MEND_PATCHC_COMMANDS_BUILD_EXPLICIT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "patchc/commands/patch_options.h"

namespace mend::patchc {

// The command: builds from `options.inputs`, writes `output`, reports; the exit code. No base is
// needed; what the command line gives and an explicit patch cannot have is a usage error.
int BuildExplicit(const std::string& base, const PatchOptions& options,
                  const std::vector<std::string>& compiler_flags, const std::string& output);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_BUILD_EXPLICIT_H_
