# A name that stands for several processes, a forked child among them: `apply --to NAME` patches them
# all, reports each, and exits 7 when one fails. `disable` by name takes it back everywhere.
. "$(dirname "$0")/lib.sh"

cat >"$work/serve.c" <<'SOURCE'
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int word = 1;

__attribute__((noinline)) int answer(void) { return word; }

/* Held up in the function that the patch replaces, until a signal comes. */
__attribute__((noinline)) int stay(int held) {
  if (held) pause();
  return answer() + 10;
}

static void wake(int number) { (void)number; }

int main(int argc, char** argv) {
  signal(SIGUSR1, wake);
  if (argc > 1 && strcmp(argv[1], "fork") == 0) fork();
  for (;;) {
    if (argc > 1 && strcmp(argv[1], "held") == 0) stay(1);
    FILE* file = fopen("answers", "a");
    fprintf(file, "%d %d\n", (int)getpid(), stay(0));
    fclose(file);
    usleep(20000);
  }
}
SOURCE
cp "$work/serve.c" "$work/original.c"
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve"
cd "$work"
for mode in plain fork; do
  MEND_OPTIONS="--log $work/$mode.log" ./serve "$mode" 2>/dev/null &
  started+=("$!")
done

# targets COUNT: waits until so many processes of the name are there; their pids are in $pids.
pids=
targets() { await "there are $1 targets" are_targets "$1"; }
are_targets() {
  # Other programs may be hosted on this machine.
  pids=$("$mend" ps --json 2>/dev/null | grep -oE '"pid":"[0-9]+","name":"serve"' |
    grep -oE '[0-9]+' || true)
  [ "$(wc -w <<<"$pids")" -eq "$1" ]
}
# everyone ANSWER: each of $pids comes to give that answer.
everyone() {
  local pid
  for pid in $pids; do await "process $pid answers $1" given "$pid" "$1"; done
}
# given PID ANSWER: whether that is its last one.
given() { [ "$(grep "^$1 " answers 2>/dev/null | tail -n 1)" = "$1 $2" ]; }
targets 3
# The child is no child of this shell's.
started+=($pids)
everyone 11

sed -i 's/answer() + 10/answer() + 20/' serve.c
expect_code 0 "$patchc" apply --json serve.c --to serve --name twenty
for pid in $pids; do expect_match "a report of $pid" "\"target\": *\"$pid\"" "$output"; done
everyone 21
# One that came later does not have the patch: there is nothing to disable, which is no failure.
MEND_OPTIONS="--name serve --log $work/late.log" ./serve late 2>/dev/null &
late=$!
started+=("$late")
targets 4
expect_code 0 "$mend" disable serve twenty
expect_match "the one without the patch" "serve \($late\): ENOENT" "$output"
expect_code 7 "$mend" disable serve twenty-one
kill -KILL "$late"
wait "$late" || true
targets 3
everyone 11

# One that is held up times out and goes back; the others take the patch.
MEND_OPTIONS="--log $work/held.log" ./serve held 2>/dev/null &
held=$!
started+=("$held")
targets 4
# It has a socket before it is where the patch cannot pass.
await "process $held is in its pause" says "blocked in pause" "$mend" threads "$held"
expect_code 7 "$patchc" apply --json serve.c --to serve --name twenty --timeout 1
expect_match "the one that is held up" '"outcome": *"reversed"' "$output"
pids=$(for pid in $pids; do [ "$pid" = "$held" ] || echo "$pid"; done)
everyone 21
kill -KILL "$held"

# Processes that are stopped do not answer, and are named: a list without them would look as if they did
# not run.
stopped=()
for copy in one two three four; do
  cp "$work/serve" "$work/stopped_$copy"
  MEND_OPTIONS="--log /dev/null" "./stopped_$copy" 2>/dev/null &
  started+=("$!") stopped+=("$!")
done
for pid in "${stopped[@]}"; do
  # A socket that is there may be about to listen yet.
  await "process $pid is a target" "$mend" status "$pid"
  kill -STOP "$pid"
done
output=$("$mend" ps 2>&1)
for pid in "${stopped[@]}"; do expect_match "ps" "process $pid .*stopped_.* does not answer" "$output"; done
output=$("$mend" ps --json)
# Others on the machine may be silent, too.
for pid in "${stopped[@]}"; do expect_match "ps --json" "\"silent\":\[[^]]*\"$pid\"[],]" "$output"; done
expect_code 6 "$mend" status stopped_two
expect_match "status" "process ${stopped[1]} .* does not answer" "$output"
for pid in "${stopped[@]}"; do kill -CONT "$pid"; done

# One of those that a name means does not answer: it has not what the others have, and the command fails.
cp "$work/serve" "$work/halting"
halting=()
for copy in one two; do
  MEND_OPTIONS="--log /dev/null" ./halting 2>/dev/null &
  started+=("$!") halting+=("$!")
  hosted_pid=$!
  await_target
done
kill -STOP "${halting[1]}"
"$patchc" build -o halting.mendpatch --name halting --base halting serve.c >/dev/null
expect_code 7 "$patchc" apply --json halting.mendpatch --to halting
expect_match "the one that is stopped" "\"target\": *\"${halting[1]}\",\"message\":\"process ${halting[1]} .* does not answer" \
  "$output"
expect_code 7 "$mend" disable halting halting
expect_match "the one that is stopped" "process ${halting[1]} .*halting. runs the same program and does not answer" \
  "$output"
kill -CONT "${halting[1]}"

# What one of them keeps is kept for all: a worker may not be allowed to write where its parent is.
cp "$work/serve" "$work/keeper"
mkdir "$work/patches"
for copy in one two; do
  MEND_OPTIONS="--log /dev/null --patch-dir $work/patches" ./keeper 2>/dev/null &
  started+=("$!")
  hosted_pid=$!
  await_target
done
"$patchc" build -o keep.mendpatch --name keep --base keeper serve.c >/dev/null
expect_code 0 "$patchc" apply --json keep.mendpatch --to "${started[-2]}" --persist
kept=$(stat -c %i "$work/patches/keep.mendpatch")
expect_code 0 "$patchc" apply --json keep.mendpatch --to "${started[-1]}" --persist
expect_match "the second" '"persisted": *true' "$output"
expect "the file that the first one wrote" "$kept" "$(stat -c %i "$work/patches/keep.mendpatch")"
# One that holds something else is written anew.
echo more >>"$work/patches/keep.mendpatch"
expect_code 0 "$mend" disable "${started[-1]}" keep
expect_code 0 "$mend" remove "${started[-1]}" keep
expect_code 0 "$patchc" apply --json keep.mendpatch --to "${started[-1]}" --persist
cmp keep.mendpatch "$work/patches/keep.mendpatch" || fail "the damaged file was taken for the module"
