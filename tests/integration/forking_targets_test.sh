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
diff -u serve.c broken/serve.c >broken.patch || true
mkfifo broken.fifo
"$patchc" apply --json --diff broken.fifo --to churn >broken.out 2>&1 &
apply=$!
exec 8>broken.fifo # returns when it is read, thus after the targets were found
lines=$(wc -l <churn.out)
more_than() { [ "$(wc -l <churn.out)" -gt "$1" ]; }
await "some workers have ended" more_than $((lines + 10))
cat broken.patch >&8
exec 8>&-
expect_end "apply of a patch that does not compile" 3 "$apply"
expect_match "a worker that has ended" '"outcome":"ended"' "$(cat broken.out)"
kill -KILL "$hosted_pid"

# A process that ends takes its control socket away first, and executes for a while yet. Here the script
# takes it away while the patch is built (the build waits for its diff), and ends the process later.
diff -u serve.c edited/serve.c >two.patch || true
mkfifo two.fifo
ending=()
for turn in 1 2; do
  MEND_OPTIONS="--name ending --log $work/ending$turn.log" ./serve plain >"ending$turn.out" 2>/dev/null &
  started+=("$!")
  hosted_pid=$!
  ending+=("$!")
  await_target
done
"$patchc" apply --diff two.fifo --to ending --name two >apply.out 2>&1 &
apply=$!
exec 8>two.fifo # returns when it is read, thus after the targets were found
rm "$XDG_RUNTIME_DIR/mend/${ending[1]}.sock"
cat two.patch >&8
exec 8>&-
await "the first one has the patch" grep ' 2$' ending1.out
kill -KILL "${ending[1]}"
expect_end "apply to one that ends" 0 "$apply"
expect_match "the one that ended" "\(${ending[1]}\) ended meanwhile" "$(cat apply.out)"
kill -KILL "${ending[0]}"

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
# The socket is there before the program runs, and forks.
await "the confined program has forked" pgrep -P "$hosted_pid"
child=$(pgrep -P "$hosted_pid")
started+=("$child")
expect_code 0 "$patchc" apply two.mendpatch --to confined
sleep 0.2
expect "the confined child" "$child 2" "$(grep "^$child " confined.out | tail -n 1)"
expect_code 0 "$patchc" apply two.mendpatch --to "$child"

# --- callbacks that fork ---

cat >forker.c <<'SOURCE'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
__attribute__((noinline)) int answer(void) { return 1; }
int main(int argc, char** argv) {
  const pid_t first = getpid();
  char line[64];
  (void)argc;
  while (fgets(line, sizeof line, stdin)) {
    if (!strncmp(line, "open", 4) && !dlopen(argv[1], RTLD_NOW)) return 4;
    while (getpid() != first) {
      dprintf(2, "child %d\n", answer());
      usleep(20000);
    }
    printf("%d\n", answer());
    fflush(stdout);
  }
  return 0;
}
SOURCE
echo 'int plugin(void) { return 1; }' >plugin.c
cat >forking.c <<'SOURCE'
#include <mend/livepatch.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
extern int answer(void);
static int patched(void) { return 2; }
/* One that ends, and one that executes another program. */
static void helper(const char* where) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) _exit(answer());
  if (waitpid(child, &status, 0) == child) mend_log("%s: child %d", where, WEXITSTATUS(status));
  child = fork();
  if (child == 0) {
    execl("/bin/false", "false", (char*)0);
    _exit(9);
  }
  if (waitpid(child, &status, 0) == child) mend_log("%s: exec %d", where, WEXITSTATUS(status));
}
static int pre(struct mend_object* o) { (void)o; helper("pre"); return 0; }
static void post(struct mend_object* o) { (void)o; helper("post"); }
static void unpre(struct mend_object* o) { (void)o; helper("unpre"); }
static void unpost(struct mend_object* o) { (void)o; helper("unpost"); }
/* The child goes on with what the program did: it loads the module. */
static int coming(struct mend_object* o) {
  mend_log("coming %s: forked %d", mend_object_name(o), fork() >= 0);
  return 0;
}
static const struct mend_func funcs[] = {MEND_FUNC("answer", patched), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(0, funcs, pre, post, unpre, unpost), MEND_OBJECT("plugin", 0, coming, 0, 0, 0),
    MEND_OBJECTS_END};
static struct mend_patch patch = {objects, 0, true};
MEND_LIVEPATCH(patch);
SOURCE
"$patchc" cc -O1 forker.c -o forker -ldl
"$patchc" cc -shared plugin.c -o plugin.so
"$patchc" build -o forking.mendpatch --explicit forking.c >/dev/null
start ./forker "$work/plugin.so"
ask go 1
parent=$hosted_pid
expect_code 0 "$patchc" apply forking.mendpatch --to "$parent"
ask go 2
ask open 2
child=$(pgrep -P "$parent")
started+=("$child")
await_child() { await "the child answers $1" child_answers "$1"; }
child_answers() { [ "$(tail -n 1 program.err)" = "child $1" ]; }
await_child 2
# Its control socket is made meanwhile.
await "the child is a target" "$mend" ls "$child"
# It has the patch and the module, and is operated on by itself.
expect "the child's module" plugin "$("$mend" ls "$child" module | grep plugin)"
expect "the child's patch" 1 "$("$mend" get "$child" livepatch/forking/plugin/patched)"
expect_code 0 "$mend" disable "$child" forking
await_child 1
ask go 2
expect_code 0 "$mend" enable "$child" forking
await_child 2
expect_code 0 "$mend" disable "$parent" forking
ask go 1
await_child 2
kill -KILL "$child"
expect "what the callbacks forked, in the parent's turn" \
  "pre: child 1;pre: exec 1;post: child 2;post: exec 1;" \
  "$(grep -E '^(pre|post): ' events.log | head -n 4 | tr '\n' ';')"
expect "what they forked at last" "unpre: child 2;unpre: exec 1;unpost: child 1;unpost: exec 1;" \
  "$(grep -E '^(unpre|unpost): ' events.log | tail -n 4 | tr '\n' ';')"
finish
