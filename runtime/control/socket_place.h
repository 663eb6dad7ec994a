// Where control sockets lie: the rules that the server and its clients share.
//
// The default place is $XDG_RUNTIME_DIR/mend/PID.sock if that directory is this user's, else
// /run/mend/PID.sock for root, else $TMPDIR (or /tmp) /mend-UID/PID.sock. Where none can be made
// there /tmp/mend-UID/PID.sock is. Whoever can write to the directory could put a socket of their
// own there, so it must be a real directory of this user's with mode 0700.
//
// Thread safety: the functions keep no state; they read the environment.
#ifndef MEND_RUNTIME_CONTROL_SOCKET_PLACE_H_
#define MEND_RUNTIME_CONTROL_SOCKET_PLACE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace mend {

// The directory of this user's control sockets.
std::string DefaultSocketDirectory();

// PID.sock in DefaultSocketDirectory().
std::string DefaultSocketPath(pid_t pid);

// A directory that the environment has no say in: for a process that has become another user, as
// the environment names places of the former one, and for one that finds no place where it says. Of
// those of SocketDirectories.
std::string TemporarySocketDirectory();

// Every directory where this user's sockets may lie (a service may have been started with another
// environment than this shell's); for root, other users' too. Without repetitions; they need not
// exist.
std::vector<std::string> SocketDirectories();

// Makes the directory, mode 0700, if it is not there. UNAVAILABLE when it cannot be made,
// PERMISSION_DENIED when it is a link, not a directory, another user's, or open to others.
absl::Status PrepareSocketDirectory(const std::string& directory);

// Says whether a client may trust what lies in the directory: as above, without making it; root
// trusts other users' directories. NOT_FOUND without one.
absl::Status CheckSocketDirectory(const std::string& directory);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_SOCKET_PLACE_H_
