# What the scripts about an operator's commands share: a program that is held up in code that patches
# replace, patches of it (fix, other, third: not cumulative), and its log, compared line by line with all
# that was wanted. Sourced with the build directory as $1 and the poke interval in $poke.
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
# build_patch FILE ARGS...: $work/FILE.mendpatch
build_patch() { "$patchc" build -o "$work/$1.mendpatch" --base "$work/serve" "${@:2}" >"$work/build.log"; }
for name in fix other third; do build_patch $name --name $name --no-replace "$work/$name/serve.c"; done

log=$work/serve.events
expected=$work/expected
touch "$log" "$expected"
launch "$mend" run --name serve --log "$log" --poke-interval "$poke" "$work/serve"
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
