# Twenty processes of one name: `apply --to NAME` visits them side by side, so that one that is held up, or does
# not answer at all, holds none of the others up. The report names each, in the order of their ids.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >serve.c <<'SOURCE'
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) { return 1; }

/* Held up in the function that the patch replaces, until a signal comes. */
__attribute__((noinline)) int stay(int held) {
  if (held) pause();
  return answer() + 10;
}

static void wake(int number) { (void)number; }

int main(int argc, char** argv) {
  signal(SIGUSR1, wake);
  int held = argc > 1 && strcmp(argv[1], "held") == 0;
  for (;;) {
    int given = stay(held);
    FILE* file = fopen("answers", "a");
    fprintf(file, "%d %d\n", (int)getpid(), given);
    fclose(file);
    held = 0;
    usleep(50000);
  }
}
SOURCE
"$patchc" cc -O1 serve.c -o prefork
sed 's/answer() + 10/answer() + 20/' serve.c >edited.c
mkdir edited && mv edited.c edited/serve.c
"$patchc" build --base prefork edited/serve.c --name twenty -o twenty.mendpatch >/dev/null

pids=()
for number in $(seq 20); do
  mode=plain
  # The first ones: those that come later would have to wait for them.
  [ "$number" -gt 2 ] || mode=held
  MEND_OPTIONS="--log /dev/null" ./prefork "$mode" 2>/dev/null &
  started+=("$!") pids+=("$!")
done
held=("${pids[0]}" "${pids[1]}")
await_hold() { await "process $1 is in its pause" says "blocked in pause" "$mend" threads "$1"; }
for pid in "${pids[@]}"; do await "process $pid is a target" "$mend" status "$pid"; done
for pid in "${held[@]}"; do await_hold "$pid"; done

# given PID ANSWER: whether that is its last one.
given() { [ "$(grep "^$1 " answers 2>/dev/null | tail -n 1)" = "$1 $2" ]; }

# Nobody ends this wait but the signals below. The second one is stopped when it has begun its transition: a
# request to it gets no answer until then.
"$patchc" apply twenty.mendpatch --to prefork --timeout 300 >report 2>&1 &
apply=$!
started+=("$apply")
await "its transition has begun" says twenty "$mend" status "${held[1]}"
kill -STOP "${held[1]}"
for pid in "${pids[@]:2}"; do await "process $pid does not wait for those that are held up" given "$pid" 21; done
kill -0 "$apply" || fail "the command is over, though two processes have not answered: $(cat report)"
kill -CONT "${held[1]}"
# A signal that comes while a continued thread is on its way back into its pause does not end that (natively, with
# six more threads in the process, 35 of 1500 times).
wake_until_given() { kill -USR1 "$1" && given "$1" "$2"; }
for pid in "${held[@]}"; do await "process $pid leaves its pause" wake_until_given "$pid" 21; done
expect_end "the command's exit code" 0 "$apply"
expect "a report of each, in their order" \
  "$(printf '%s\n' "${pids[@]}" | sort -n)" \
  "$(sed -n "s/^patch 'twenty' applied to prefork (\([0-9]*\))$/\1/p" report)"

# One that does not get through in its time fails alone.
expect_code 0 "$mend" disable prefork twenty
MEND_OPTIONS="--log /dev/null" ./prefork held 2>/dev/null &
late=$!
started+=("$late")
await_hold "$late"
expect_code 7 "$patchc" apply --json twenty.mendpatch --to prefork --timeout 2
expect "those that took it" 20 "$(grep -o '"outcome":"complete"' <<<"$output" | wc -l)"
expect "the one that did not" 1 "$(grep -o '"outcome":"reversed"' <<<"$output" | wc -l)"
