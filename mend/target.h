// Finding the running programs that an operator names: by process id, by the path of a control
// socket, by name, or by a glob of names.
//
// Thread safety: functions without state.
#ifndef MEND_MEND_TARGET_H_
#define MEND_MEND_TARGET_H_

#include <sys/types.h>

#include <functional>
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
// any more are passed over. All are asked at once, so that one that does not answer, as a process
// that is stopped, costs its time only once; `silent`, if not null, gets those.
std::vector<Target> ListTargets(std::vector<pid_t>* silent = nullptr);

// "process 4711 (/usr/bin/server) does not answer", for each of them.
std::vector<std::string> SilentTexts(const std::vector<pid_t>& silent);

// The targets that `operand` names: all digits: that process; with a '/': that socket; otherwise
// a name or glob of names, which may match several. Every one answers at the moment.
// NOT_FOUND: nothing matches; UNAVAILABLE, PERMISSION_DENIED: it does not let itself be operated.
absl::StatusOr<std::vector<Target>> FindTargets(const std::string& operand);

// A target whose turn it is.
struct Visit {
  const Target& target;
  size_t number;  // from 0, in the order in which they were found
  bool is_one_of_several;
};

// Processes of the same program that VisitTargets did not come to.
struct Unreached {
  std::vector<Target> silent;  // have a control socket, and do not answer
  std::vector<pid_t> without_socket;
};

// Calls `visit` once for every target that `operand` names, for as many as `at_once` at a time,
// each in a thread of its own; with 1, one after the other in this thread. So with many at once,
// one that takes its time holds nobody up. A process that forks before its visit is over leaves a
// child with the state from before, which is a target of its own only a moment later. So processes
// of the same programs that are new are waited for and visited, until there are none: what is
// forked from then on has what its parent has. Returns those that never got a control socket, or do
// not answer. Errors are those of FindTargets, before any visit.
absl::StatusOr<Unreached> VisitTargets(const std::string& operand, size_t at_once,
                                       const std::function<void(const Visit&)>& visit);

// What to say of those of Unreached.
std::string UnreachedText(const Target& silent);
std::string UnreachedText(pid_t without_socket);

// Whether the target's process has ended.
bool HasEnded(const Target& target);

// As HasEnded, for one that cannot be reached: its control socket goes before the process does, and
// on a busy machine long before. Waits for the end a few seconds, and no longer if it does not
// come.
bool EndsSoon(const Target& target);

// As FindTargets, for what takes exactly one. FAILED_PRECONDITION lists what matches.
absl::StatusOr<Target> FindTarget(const std::string& operand);

}  // namespace mend

#endif  // MEND_MEND_TARGET_H_
