// chroot, and setns to a mount namespace. The runtime's threads keep the root that the process had:
// what they need lies there (the HTTP module, /proc, the folder of patches), and so does the
// socket, which operators look for outside.
#include <sched.h>
#include <unistd.h>

#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/program_threads.h"

namespace mend::jit {
namespace {

// Threads of one process share their root, working directory and umask; from here on the program's
// thread, and those that it creates, have them to themselves. Others of the program have to follow
// it. Where this is not allowed all threads are inside.
void LeaveSharedRoot() {
  if (ProgramHasOneThread()) ::unshare(CLONE_FS);
}

}  // namespace
}  // namespace mend::jit

MEND_NEXT(int, chroot, const char*);

MEND_INTERPOSE(int, chroot, const char* path) {
  mend::jit::LeaveSharedRoot();
  return next_chroot(path);
}

MEND_NEXT(int, setns, int, int);

// The kernel refuses it to a thread that shares its root with others.
MEND_INTERPOSE(int, setns, int fd, int type) {
  if (type == 0 || (type & CLONE_NEWNS) != 0) mend::jit::LeaveSharedRoot();
  return next_setns(fd, type);
}
