// A process of one thread may go to a mount namespace, if it has the privileges.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char* what, long result) {
  printf("%s: %s\n", what, result == 0 ? "done" : strerror(errno));
}

int main(void) {
  const int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  say("setns", setns(own, CLONE_NEWNS));
  say("setns of any kind", setns(own, 0));
  say("by number", syscall(SYS_setns, own, CLONE_NEWNS));
  say("of another kind", setns(own, CLONE_NEWUTS));
  say("unshare", unshare(CLONE_NEWNS));
  say("of no file", setns(-1, 0));
}
