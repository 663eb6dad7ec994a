# Servers that fork by a system call of their own, as vsftpd does for each session, which libc does not see:
# each child is a target like any other, also in a namespace of process ids where it is the first.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >serve.c <<'SOURCE'
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) { return 1; }

static long fork_by(const char* how) {
  struct clone_args arguments = {.exit_signal = SIGCHLD};
  if (!strcmp(how, "fork")) return syscall(SYS_fork);
  if (!strcmp(how, "clone")) return syscall(SYS_clone, SIGCHLD, NULL);
  if (!strcmp(how, "clone3")) return syscall(SYS_clone3, &arguments, sizeof arguments);
  return syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWIPC | SIGCHLD, NULL);
}

/* The children of children, too: the last one's ids say whether they are nested. */
static void serve(const char* who) {
  for (;;) {
    char line[64];
    int size = snprintf(line, sizeof line, "%s %d %d\n", who, answer(), malloc(100) != NULL);
    if (write(1, line, size) != size) exit(3);
    usleep(20000);
  }
}

int main(int argc, char** argv) {
  int status;
  (void)argc;
  errno = 0;
  long child = fork_by(argv[1]);
  if (child < 0) return errno == EPERM ? 77 : 4;
  if (child == 0) {
    if (!strcmp(argv[1], "namespace") && getpid() != 1) return 5;
    if (fork_by("clone") == 0) {
      /* As soon as it can, and no root any more where that is possible: it may have no more threads, and no other files. */
      const struct rlimit none = {0, 0};
      if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 9;
      if (setrlimit(RLIMIT_NPROC, &none) != 0) return 10;
      serve("grandchild");
    }
    serve("child");
  }
  if (waitpid(child, &status, WNOHANG) != 0) return 6;
  /* One that ends by exit runs its exit handlers, and takes no socket of its parent's away. */
  for (int i = 0; i < 20; ++i) {
    child = fork_by(argv[1]);
    if (child == 0) exit(7);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) return 8;
  }
  serve("parent");
}
SOURCE
"$patchc" cc -O1 serve.c -o serve
mkdir edited && sed 's/return 1;/return 2;/' serve.c >edited/serve.c
"$patchc" build --base serve edited/serve.c --name two -o two.mendpatch >/dev/null

# are_speakers LINES COUNT: so many processes have said something twice since there were so many lines.
are_speakers() {
  [ "$(tail -n +$(($1 + 1)) serve.out | cut -d ' ' -f 1 | sort | uniq -d | wc -l)" -eq "$2" ]
}

# all_say VALUE: so does each of the three from now on.
all_say() {
  local lines who
  lines=$(wc -l <serve.out)
  await "each says something" are_speakers "$lines" 3
  for who in parent child grandchild; do
    expect "what the $who says" "$who $1 1" "$(tail -n +$((lines + 1)) serve.out | grep "^$who " | sort -u)"
  done
}

# By the program's own path: other tests have a `./serve fork` at the same time.
for how in fork clone clone3 namespace; do
  MEND_OPTIONS="--name $how --log $work/events.log" "$work/serve" "$how" >serve.out 2>serve.err &
  started+=("$!")
  hosted_pid=$!
  for _ in $(seq 200); do
    [ "$(grep -c . <<<"$(pgrep -f "^$work/serve $how")")" -eq 3 ] && grep -q parent serve.out && break
    kill -0 "$hosted_pid" 2>/dev/null || break
    sleep 0.05
  done
  if ! kill -0 "$hosted_pid" 2>/dev/null; then
    code=0
    wait "$hosted_pid" || code=$?
    [ "$how:$code" = namespace:77 ] && continue # not allowed here
    fail "$how: the program ended with $code"
  fi
  processes=$(pgrep -f "^$work/serve $how")
  for pid in $processes; do started+=("$pid"); done
  expect_code 0 "$patchc" apply two.mendpatch --to "$how"
  all_say 2
  for pid in $processes; do
    expect_match "the patches of process $pid" "$pid +$how +two" "$("$mend" ps | tr -s ' ')"
    expect_match "the status of process $pid" "pid $pid" "$("$mend" status "$pid")"
  done
  expect_code 0 "$mend" disable "$how" two
  all_say 1
  for pid in $processes; do kill -KILL "$pid" 2>/dev/null || true; done
done
