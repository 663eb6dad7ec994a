#include "patchc/commands/command.h"
#include "patchc/commands/driver.h"

namespace mend::patchc {

int RunCc(const CommandArguments& arguments) { return RunCompilerDriver("c", arguments); }

int RunCxx(const CommandArguments& arguments) { return RunCompilerDriver("c++", arguments); }

}  // namespace mend::patchc
