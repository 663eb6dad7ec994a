# Servers that fork while they are operated on: `apply --to NAME` reaches the children that were forked
# before their parent's turn too, passes over workers that end meanwhile, and says of processes that it
# cannot reach. Children that have become another user or changed their root are targets still.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >serve.c <<'SOURCE'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) { return 1; }

static void say(void) {
  char line[64];
  int size = snprintf(line, sizeof line, "%d %d\n", (int)getpid(), answer());
  if (write(1, line, size) != size) exit(3);
}

/* Workers live for a moment, one after the other; 30 of them run at a time. */
static void churn(void) {
  for (;;) {
    usleep(10000);
    if (fork() != 0) continue;
    alarm(20);
    usleep(300000);
    say();
    _exit(0);
  }
}

int main(int argc, char** argv) {
  signal(SIGCHLD, SIG_IGN);
  if (strcmp(argv[1], "churn") == 0) churn();
  if (strcmp(argv[1], "confined") == 0 && fork() == 0) {
    if (chdir(argv[2]) != 0 || chroot(argv[2]) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 4;
    alarm(60);
  }
  for (;;) {
    say();
    usleep(20000);
  }
}
SOURCE
"$patchc" cc -O1 serve.c -o serve
sed 's/return 1;/return 2;/' serve.c >edited.c
mkdir edited && mv edited.c edited/serve.c
"$patchc" build --base serve edited/serve.c --name two -o two.mendpatch >/dev/null

MEND_OPTIONS="--name churn --log $work/churn.log" ./serve churn >churn.out 2>/dev/null &
started+=("$!")
hosted_pid=$!
await_target
for turn in 1 2 3; do
  # Every worker that was forked before this has ended after the wait, so whoever answers later was
  # forked afterwards, or reached by the command.
  expect_code 0 "$patchc" apply two.mendpatch --to churn
  lines=$(wc -l <churn.out)
  sleep 0.5
  expect "workers that the patch did not reach" "" "$(tail -n +$((lines + 1)) churn.out | grep -v ' 2$')"
  expect_code 0 "$mend" disable churn two
  lines=$(wc -l <churn.out)
  sleep 0.5
  expect "workers that still have the patch" "" "$(tail -n +$((lines + 1)) churn.out | grep -v ' 1$')"
done
# A refusal is all that is said, although some of the workers end before their turn.
mkdir broken && sed 's/return 1;/return undeclared;/' serve.c >broken/serve.c
expect_code 3 "$patchc" apply --json broken/serve.c --to churn
expect_match "a worker that has ended" '"outcome":"ended"' "$output"
kill -KILL "$hosted_pid"

# One that has no control socket is named.
MEND_OPTIONS="--name open --log $work/open.log" ./serve plain >open.out 2>/dev/null &
started+=("$!")
hosted_pid=$!
await_target
MEND_OPTIONS="--no-socket --log $work/closed.log" ./serve plain >closed.out 2>/dev/null &
started+=("$!")
closed=$!
sleep 0.2
expect_code 0 "$patchc" apply two.mendpatch --to open
expect_match "the process without a socket" "process $closed .* has no control socket" "$output"
kill -KILL "$closed" "$hosted_pid"

[ "$(id -u)" -eq 0 ] || exit 0
mkdir -p root
MEND_OPTIONS="--name confined --log $work/confined.log" ./serve confined "$work/root" >confined.out 2>/dev/null &
started+=("$!")
hosted_pid=$!
await_target
child=$(pgrep -P "$hosted_pid")
started+=("$child")
expect_code 0 "$patchc" apply two.mendpatch --to confined
sleep 0.2
expect "the confined child" "$child 2" "$(grep "^$child " confined.out | tail -n 1)"
expect_code 0 "$patchc" apply two.mendpatch --to "$child"
