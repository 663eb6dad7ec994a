// `patchc cc` and `patchc c++`: Clang's command line, its messages and its exit codes. Objects come
// out patchable, executables come out hosted; everything else is done by Clang itself.
#ifndef MEND_PATCHC_COMMANDS_DRIVER_H_
#define MEND_PATCHC_COMMANDS_DRIVER_H_

#include <string>
#include <vector>

namespace mend::patchc {

// `language`: "c" or "c++". Returns the exit code.
int RunCompilerDriver(const std::string& language, const std::vector<std::string>& arguments);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_DRIVER_H_
