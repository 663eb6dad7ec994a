// The operator's verbs, one function each. All return the exit code of the contract.
//
// Thread safety: called from main, one per process.
#ifndef MEND_MEND_COMMANDS_COMMANDS_H_
#define MEND_MEND_COMMANDS_COMMANDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "mend/client.h"
#include "mend/commands/text.h"
#include "mend/target.h"

namespace mend {

// How one verb is carried out on one target, and what its answer says to people.
struct TargetVerb {
  std::function<absl::StatusOr<Reply>(const Client&)> request;
  std::function<std::string(const Json& answer)> text;
  bool plain = false;  // the answer is text for people already, unless JSON was asked for
  // What is asked for is that a patch is gone: fulfilled in one of several that never had it.
  bool undoes = false;
};

// Carries the verb out on every target that `operand` names and prints the answers. Exits 6 when
// no target can be reached, 7 when some of several failed.
int OnTargets(const std::string& operand, bool json, const TargetVerb& verb);

// Says, also as JSON, what kept a verb from being carried out on any target; returns the code.
int ReportFailure(const std::string& message, int exit_code, bool json);

int RunProgram(const std::vector<std::string>& words);

int ListPrograms(bool json);
int ShowStatus(const std::string& target, bool json);
int ShowThreads(const std::string& target, bool json);

// `verb` is "disable", "enable" or "promote".
int SwitchPatch(const std::string& target, const std::string& patch, const std::string& verb,
                const WaitFlags& wait, bool json);
int RevertLastApply(const std::string& target, const WaitFlags& wait, bool json);
int ForcePatch(const std::string& target, const std::string& patch, bool json);
int RemovePatch(const std::string& target, const std::string& patch, bool json);
int WaitForTransition(const std::string& target, double timeout_s, bool json);

// The module's name is the file's, unless `name` says another. `parameters`: NAME=VALUE each.
int LoadModule(const std::string& target, const std::string& file, const std::string& name,
               const std::vector<std::string>& parameters, bool json);
int UnloadModule(const std::string& target, const std::string& name, bool json);

int ListAttributes(const std::string& target, const std::string& path, bool json);
int GetAttribute(const std::string& target, const std::string& path, bool json);
int SetAttribute(const std::string& target, const std::string& path, const std::string& value);

int ShowEvents(const std::string& target, bool follow, bool json);

}  // namespace mend

#endif  // MEND_MEND_COMMANDS_COMMANDS_H_
