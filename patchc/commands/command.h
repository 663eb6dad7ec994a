// The verbs of patchc. A command gets what stands behind its verb and returns the exit code
// (interface contract: 0, 1 internal error, 2 usage, 3 refused, ...).
#ifndef MEND_PATCHC_COMMANDS_COMMAND_H_
#define MEND_PATCHC_COMMANDS_COMMAND_H_

#include <string>
#include <vector>

namespace mend::patchc {

using CommandArguments = std::vector<std::string>;

struct Command {
  const char* name;
  int (*run)(const CommandArguments& arguments);
  const char* help;
};

int RunCc(const CommandArguments& arguments);
int RunCxx(const CommandArguments& arguments);
int RunBuild(const CommandArguments& arguments);
int RunCheck(const CommandArguments& arguments);
int RunApply(const CommandArguments& arguments);
int RunWatch(const CommandArguments& arguments);
int RunExplain(const CommandArguments& arguments);
int RunInspect(const CommandArguments& arguments);
int RunStrip(const CommandArguments& arguments);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_COMMAND_H_
