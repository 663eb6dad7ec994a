# The rules that an operator meets, with the real mend and patchc and a program that is held up in
# the code that a patch replaces: busy patches, reversal by writing, poke, force in both directions
# and the removal that it forbids. The whole log is compared, line by line.
source "$(dirname -- "${BASH_SOURCE[0]}")/../integration/lib.sh" "$1"

cat >"$work/serve.c" <<'SOURCE'
#include <stdio.h>
#include <string.h>

__attribute__((noinline)) int version(void) { return 1; }
__attribute__((noinline)) int second(void) { return 1; }

/* Left only when a line comes. */
__attribute__((noinline)) void stay(char* line, int size) {
  printf("in %d\n", version());
  fflush(stdout);
  if (fgets(line, size, stdin)) printf("out %d\n", version());
  fflush(stdout);
}

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    if (strcmp(line, "stay\n") == 0) {
      stay(line, sizeof line);
    } else {
      printf("%d %d\n", version(), second());
      fflush(stdout);
    }
  }
  return 0;
}
SOURCE
mkdir "$work/fix" "$work/other" "$work/third"
sed '/int version/s/return 1;/return 2;/; s/"in %d/"In %d/' "$work/serve.c" >"$work/fix/serve.c"
sed '/int second/s/return 1;/return 2;/' "$work/serve.c" >"$work/other/serve.c"
sed '/int second/s/return 1;/return 3;/' "$work/serve.c" >"$work/third/serve.c"
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve"
for name in fix other third; do
  "$patchc" build -o "$work/$name.mendpatch" --name $name --no-replace --base "$work/serve" "$work/$name/serve.c" >"$work/build.log"
done

log=$work/serve.events
expected=$work/expected
touch "$log" "$expected"
mkfifo "$work/in" "$work/out"
exec 7<>"$work/in" 8<>"$work/out"
"$mend" run --name serve --log "$log" --poke-interval 0.5 "$work/serve" <"$work/in" >"$work/out" 2>"$work/program.err" 7>&- 8>&- &
hosted_pid=$!
started+=("$hosted_pid")
await_target
ask go "1 1"

# Lines that are to be in the log, from standard input, and that the log is to end with by now.
logged() {
  sed 's/^/livepatch: /' >>"$expected"
  log_becomes "$log" "$expected" 400
}
# value PATH WANTED
value() {
  expect_code 0 "$mend" get serve "$1"
  expect "$1" "$2" "$output"
}
# refused ERRNO COMMAND...
refused() {
  local error=$1
  shift
  expect_code 3 "$@"
  expect_match "the refusal of '$*'" "^(patchc: |mend: )?$error: " "$output"
}

expect_code 0 "$patchc" apply "$work/other.mendpatch" --to serve
logged <<'END'
enabling patch 'other'
'other': initializing patching transition
'other': starting patching transition
'other': completing patching transition
'other': patching complete
END
value "threads/$hosted_pid/patch_state" -1

# Rule LC14: a patch that is enabled or in transition cannot be removed.
refused EBUSY "$mend" remove serve other
value module/other/refcnt 1
ask stay "in 1"
expect_code 5 "$patchc" apply "$work/fix.mendpatch" --to serve --no-wait
refused EBUSY "$mend" remove serve fix
value module/fix/refcnt 1

# Rule LC3: nothing else begins in a transition, and nothing of the attempt is logged.
refused EBUSY "$patchc" apply "$work/third.mendpatch" --to serve
refused EBUSY "$mend" set serve livepatch/other/enabled 0
refused EBUSY "$mend" disable serve other
# Rule T14: the state of each thread can be read.
value "threads/$hosted_pid/patch_state" 0
value livepatch/fix/transition 1
value livepatch/other/transition 0
value livepatch/fix/enabled 1
value livepatch/fix/stack_order 2

# Rule T10: poked, and said so once; the call that the thread is asleep in is not interrupted.
logged <<'END'
enabling patch 'fix'
'fix': initializing patching transition
'fix': starting patching transition
signaling remaining tasks
END
# Rule T15: it lasts, for several of these intervals.
expect_code 5 "$mend" wait serve --timeout 2
logged </dev/null

# Rule LC10: the opposite value turns it round, what it has already is refused.
refused EINVAL "$mend" set serve livepatch/fix/enabled 1
expect_code 0 "$mend" set serve livepatch/fix/enabled 0
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
'fix': reversing transition from patching to unpatching
'fix': starting unpatching transition
'fix': completing unpatching transition
'fix': unpatching complete
END
# Rule LC12: and when it is done it is no more to be turned round.
refused ENOENT "$mend" set serve livepatch/fix/enabled 1
ask go "out 1"
# Rule LC15: it can be removed, and loaded again.
expect_code 0 "$mend" remove serve fix
ask stay "in 1"
expect_code 5 "$patchc" apply "$work/fix.mendpatch" --to serve --no-wait
logged <<'END'
enabling patch 'fix'
'fix': initializing patching transition
'fix': starting patching transition
signaling remaining tasks
END

# Rule X1: forced, whatever is on its stack. Nobody is to be kept on a plain patch's account (X2).
refused EINVAL "$mend" set serve livepatch/other/force 1
expect_code 0 "$mend" set serve livepatch/fix/force 0
value livepatch/fix/transition 1
expect_code 0 "$mend" force serve fix
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
forcing remaining tasks to the patched state
'fix': completing patching transition
'fix': patching complete
END
ask go "out 2"
ask go "2 2"

# Rule X2: the other way, what goes is kept as long as a thread is in it.
ask stay "In 2"
expect_code 0 "$mend" set serve livepatch/fix/enabled 0
value livepatch/fix/enabled 0
value "threads/$hosted_pid/patch_state" 1
logged <<'END'
'fix': initializing unpatching transition
'fix': starting unpatching transition
signaling remaining tasks
END
expect_code 0 "$mend" force serve fix
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
forcing remaining tasks to the patched state
'fix': completing unpatching transition
'fix': unpatching complete
END
refused EBUSY "$mend" remove serve fix
refused EBUSY "$mend" enable serve fix
value module/fix/refcnt 1
ask go "out 1"
ask go "1 2"
value module/fix/refcnt 0
expect_code 0 "$mend" remove serve fix

# Rule LC13: its folders go with a patch that is disabled, the module's when it is removed.
expect_code 0 "$mend" set serve livepatch/other/enabled 0
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
'other': initializing unpatching transition
'other': starting unpatching transition
'other': completing unpatching transition
'other': unpatching complete
END
expect_code 0 "$mend" ls serve livepatch
expect "the folders of patches" "" "$output"
value module/other/refcnt 0
expect_code 0 "$mend" remove serve other
expect_code 0 "$mend" ls serve module
expect "the modules" "" "$output"
ask go "1 1"
finish
logged </dev/null
