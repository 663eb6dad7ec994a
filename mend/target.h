// Finding the running programs that an operator names: by process id, by the path of a control
// socket, by name, or by a glob of names.
//
// Thread safety: functions without state.
#ifndef MEND_MEND_TARGET_H_
#define MEND_MEND_TARGET_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mend {

struct Target {
  std::string socket;  // path of its control socket
  pid_t pid = 0;
  std::string name;
  std::string executable;  // file that it was started from
};

// Every running target that this user may operate, by process id. Sockets that nobody listens on
// any more are passed over.
std::vector<Target> ListTargets();

// The targets that `operand` names: all digits: that process; with a '/': that socket; otherwise
// a name or glob of names, which may match several. Every one answers at the moment.
// NOT_FOUND: nothing matches; UNAVAILABLE, PERMISSION_DENIED: it does not let itself be operated.
absl::StatusOr<std::vector<Target>> FindTargets(const std::string& operand);

// As FindTargets, for what takes exactly one. FAILED_PRECONDITION lists what matches.
absl::StatusOr<Target> FindTarget(const std::string& operand);

}  // namespace mend

#endif  // MEND_MEND_TARGET_H_
