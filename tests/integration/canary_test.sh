# A patch that some threads try first: they run it, the others do not, until it is promoted, disabled, or
# its health command fails; with the texts and exit codes of `patchc apply --canary` and `mend promote`.
. "$(dirname "$0")/lib.sh"

cat >"$work/serve.c" <<'SOURCE'
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { kWorkers = 4 };
static int answers[kWorkers];
static pthread_barrier_t begin, end;

__attribute__((noinline)) int version(void) { return 1; }

/* Answers in its turns; between two it sleeps outside of what is patched. */
static void* work(void* number) {
  int worker = (int)(long)number;
  for (;;) {
    pthread_barrier_wait(&begin);
    answers[worker] = version();
    pthread_barrier_wait(&end);
  }
}

int main(void) {
  char line[64];
  pthread_barrier_init(&begin, 0, kWorkers + 1);
  pthread_barrier_init(&end, 0, kWorkers + 1);
  for (long i = 0; i < kWorkers; ++i) {
    pthread_t thread;
    char name[16];
    pthread_create(&thread, 0, work, (void*)i);
    snprintf(name, sizeof name, i < 2 ? "web-%ld" : "db-%ld", i);
    pthread_setname_np(thread, name);
  }
  while (fgets(line, sizeof line, stdin)) {
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    for (int i = 0; i < kWorkers; ++i) printf("%d ", answers[i]);
    printf("main %d\n", version());
    fflush(stdout);
  }
  return 0;
}
SOURCE
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve"
mkdir "$work/new"
sed 's/return 1;/return 2;/' "$work/serve.c" >"$work/new/serve.c"
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/serve" "$work/new/serve.c" >/dev/null
start "$work/serve"
await_target
ask go "1 1 1 1 main 1"

# What is wrong with the request, before anything happens.
expect_code 3 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary nobody
expect_match "nobody is chosen" "ENOENT: .*no thread" "$output"
for wrong in 0 101% % -5%; do
  expect_code 3 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary="$wrong"
  expect_match "canary $wrong" "EINVAL: .*canary '$wrong' is" "$output"
done
expect_code 3 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 1 --on-timeout force
expect_code 2 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --health true
expect_match "health alone" "--canary" "$output"
ask go "1 1 1 1 main 1"

# By name, held, promoted.
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 'web-*'
expect_match "applied" "patch 'fix' is a canary, held until it is promoted or disabled, in serve" "$output"
ask go "2 2 1 1 main 1"
expect_code 0 "$mend" status "$hosted_pid"
expect_match "status" "a canary on 2 threads, held until promoted or disabled, 0 threads left" "$output"
expect_code 5 "$mend" wait "$hosted_pid" --timeout 0.2
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 'web-*'
expect "transition" 1 "$("$mend" get "$hosted_pid" livepatch/fix/transition)"
expect_code 0 "$mend" promote "$hosted_pid" fix
expect_match "promoted" "patch 'fix' promoted: .*5 blocked" "$output"
ask go "2 2 2 2 main 2"
expect_code 0 "$mend" promote "$hosted_pid" fix
expect_match "promoted twice" "promoted already" "$output"
expect_code 0 "$mend" disable "$hosted_pid" fix
expect_code 3 "$mend" promote "$hosted_pid" fix
expect_match "what is off" "EINVAL: .*patch 'fix' is no canary" "$output"
expect_code 3 "$mend" promote "$hosted_pid" none

# Held, disabled. Then held, applied to all.
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 40%
ask go "1 1 2 2 main 1"
expect_code 0 "$mend" disable "$hosted_pid" fix
ask go "1 1 1 1 main 1"
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 1
ask go "1 1 1 2 main 1"
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
ask go "2 2 2 2 main 2"
expect_code 0 "$mend" disable "$hosted_pid" fix

# A health command that fails takes it back: at its third run.
cat >"$work/check.sh" <<'CHECK'
echo run >>"$1"
[ "$(wc -l <"$1")" -lt 3 ] || exit 9
CHECK
expect_code 4 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 'db-*' --json \
  --health "sh '$work/check.sh' '$work/runs'" --health-period 0.1
expect_match "what failed" "the health command exited with 9" "$output"
expect_match "as JSON" '"outcome":"reversed".*"health":"exited with 9"' "$output"
expect "runs of the health command" 3 "$(wc -l <"$work/runs")"
ask go "1 1 1 1 main 1"
# One that holds lets it be promoted.
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 'db-*' --health true \
  --health-period 0.1 --promote-after 0.5
expect_match "promoted by itself" "is promoted" "$output"
ask go "2 2 2 2 main 2"
expect_code 0 "$mend" disable "$hosted_pid" fix

# Ctrl-C leaves it held; somebody else's decision ends the watch.
"$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 'db-*' --health true \
  --health-period 0.1 >"$work/held.log" 2>&1 &
watcher=$!
started+=("$watcher")
await "the canary is held" grep "the canary is held in 1 process" "$work/held.log"
kill -INT "$watcher"
expect_end "exit code of the interrupted watch" 5 "$watcher"
expect_match "interrupted" "is held: mend promote or mend disable it" "$(cat "$work/held.log")"
ask go "1 1 2 2 main 1"
"$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --canary 'db-*' --health true \
  --health-period 0.1 >"$work/other.log" 2>&1 &
watcher=$!
started+=("$watcher")
await "the canary is held" grep "the canary is held in 1 process" "$work/other.log"
expect_code 0 "$mend" disable "$hosted_pid" fix
expect_end "exit code of the watch that was overtaken" 4 "$watcher"
expect_match "overtaken" "was taken back" "$(cat "$work/other.log")"
ask go "1 1 1 1 main 1"
finish
