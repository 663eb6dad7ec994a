// chroot. The runtime's threads keep the root that the process had: what they need lies there (the
// HTTP module, /proc, the folder of patches), and so does the socket, which operators look for
// outside.
#include <sched.h>
#include <unistd.h>

#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/program_threads.h"

MEND_NEXT(int, chroot, const char*);

MEND_INTERPOSE(int, chroot, const char* path) {
  // Threads of one process share their root, working directory and umask; from here on the
  // program's thread, and those that it creates, have them to themselves. Others of the program
  // have to follow it. Where this is not allowed all threads are inside.
  if (mend::jit::ProgramHasOneThread()) ::unshare(CLONE_FS);
  return next_chroot(path);
}
