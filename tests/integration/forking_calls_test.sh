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

# The same by clone(3): the child begins on a stack that the program gives it, and ends with its function.
cat >sandbox.c <<'SOURCE'
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) { return 1; }
static char stack[256 * 1024] __attribute__((aligned(16)));
static int input;

static void say(const char* who) {
  printf("%s %d\n", who, answer());
  fflush(stdout);
}

static void* another(void* unused) {
  char* text = strdup("a thread of the child");
  say(text);
  free(text);
  return unused;
}

static int child(void* from) {
  char byte;
  pthread_t thread;
  while (read(input, &byte, 1) == 1 && byte != 'e') say(from);
  if (pthread_create(&thread, NULL, another, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  return 42;
}

int main(int argc, char** argv) {
  (void)argc;
  int pipes[2], status;
  if (pipe(pipes) != 0) return 3;
  input = pipes[0];
  const int flags = SIGCHLD | (!strcmp(argv[1], "namespace") ? CLONE_NEWPID : 0);
  const pid_t pid = clone(child, stack + sizeof stack, flags, "child");
  if (pid < 0) return errno == EPERM ? 77 : 4;
  char line[16];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (write(pipes[1], line, 1) != 1) return 5;
    if (line[0] == 'p') say("parent");
  }
  if (write(pipes[1], "e", 1) != 1) return 6;
  if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 7;
  return WEXITSTATUS(status);
}
SOURCE
"$patchc" cc -O1 -pthread sandbox.c -o sandbox
sed 's/answer(void) { return 1; }/answer(void) { return 2; }/' sandbox.c >edited/sandbox.c
"$patchc" build --base sandbox edited/sandbox.c --name two -o two.mendpatch >/dev/null
for how in plain namespace; do
  start ./sandbox "$how"
  await_target
  for _ in $(seq 200); do
    child=$(pgrep -P "$hosted_pid" | head -n 1) && [ -S "$XDG_RUNTIME_DIR/mend/$child.sock" ] && break
    kill -0 "$hosted_pid" 2>/dev/null || break
    sleep 0.05
  done
  if ! kill -0 "$hosted_pid" 2>/dev/null; then
    code=0
    wait "$hosted_pid" || code=$?
    [ "$how:$code" = namespace:77 ] && continue # not allowed here
    fail "clone, $how: the program ended with $code"
  fi
  started+=("$child")
  ask child "child 1"
  expect_code 0 "$patchc" apply two.mendpatch --to "$child"
  ask child "child 2"
  expect_code 0 "$patchc" apply two.mendpatch --to "$hosted_pid"
  expect_code 0 "$mend" disable "$child" two
  ask child "child 1"
  # It ends with its function, which the parent passes on.
  exec 7>&-
  hear
  expect "clone, $how: at its end" "a thread of the child 1" "$answer"
  code=0
  wait "$hosted_pid" || code=$?
  expect "clone, $how: the child's exit code" 42 "$code"
  exec 8>&-
done
