# Diffs reach the code of guest modules: loaded ones are found in the target, others are named; a patch
# for a module that is not loaded waits for it. The program, the module and a header that both include.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh" "$1"

mkdir "$work/tree"
cd "$work/tree"
cat >shared.h <<'C'
struct item { int value; };
int host_scale(int);
static inline int weigh(const struct item* item) { return item->value * 2; }
C
cat >host.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "shared.h"
int host_calls;
__attribute__((noinline)) int host_scale(int x) { host_calls++; return x + 1; }
__attribute__((noinline)) int host_weigh(int x) { struct item item = {x}; return weigh(&item); }
static void* handle;
static int (*step)(int);
int main(void) {
  char command[16], operand[512];
  puts("ready");
  fflush(stdout);
  while (scanf("%15s %511s", command, operand) == 2) {
    if (strcmp(command, "open") == 0) {
      handle = dlopen(operand, RTLD_NOW);
      step = handle != NULL ? (int (*)(int))dlsym(handle, "step") : NULL;
      printf("%s\n", handle != NULL ? "opened" : dlerror());
    } else if (strcmp(command, "close") == 0) {
      printf("%s\n", dlclose(handle) == 0 ? "closed" : dlerror());
    } else {
      int x = operand[0] - '0';
      printf("%d %d\n", host_weigh(x), step != NULL ? step(x) : -1);
    }
    fflush(stdout);
  }
  return 0;
}
C
# `count` of two units: told apart by their places. `total` and the thread-local keep what they hold.
cat >left.c <<'C'
#include "shared.h"
static int total;
static __thread int turns;
__attribute__((noinline)) static int count(int x) { total += x; return total; }
int right(int);
int step(int x) {
  struct item item = {x};
  turns++;
  return count(x) * 1000 + right(x) * 100 + weigh(&item) + host_scale(turns);
}
C
cat >right.c <<'C'
static int total;
__attribute__((noinline)) static int count(int x) { total += x; return total; }
int right(int x) { return count(x); }
C
"$patchc" cc -O2 host.c -o host
"$patchc" cc -O2 -fPIC -shared left.c right.c -o plugin.so

# edit FILE SED-SCRIPT NAME: the edit as a diff, NAME.patch; the file stays as it is.
edit() {
  sed "$2" "$1" >"$1.new"
  diff -u --label "a/$1" --label "b/$1" "$1" "$1.new" >"$3.patch" || true
  rm "$1.new"
  [ -s "$3.patch" ] || fail "the edit '$2' changes nothing in $1"
}
edit right.c 's/total += x; return total/total += x; return total + 7/' right_fix
edit shared.h 's/value \* 2/value * 3/' header_fix
edit left.c 's/turns++;/static int fixed; static __thread int seen; fixed++; seen += 2; turns += fixed + seen;/' statics_fix

start "$work/tree/host"
hear
expect "first line" ready "$answer"
target=$hosted_pid

# Without the module nobody knows its sources.
expect_code 3 "$patchc" check --base "$target" --diff right_fix.patch
expect_match "a source of nobody" "MEND-E0007: nothing that was given touches a source of" "$output"
expect_match "the way out" "named by --base-module" "$output"

ask "open $work/tree/plugin.so" opened
ask "run 1" "2 $((1000 + 100 + 2 + 2))"
ask "run 2" "4 $((3000 + 300 + 4 + 3))"

# A module that is loaded: its static state stays, only the function of that unit is replaced.
expect_code 0 "$patchc" check --base "$target" --diff right_fix.patch
expect_match "whose unit it is" "^right.c .module plugin." "$output"
expect_code 0 "$patchc" apply --diff right_fix.patch --to "$target" --name fix
expect_match "the report" "plugin:count" "$output"
ask "run 1" "2 $((4000 + 1100 + 2 + 4))"
expect "its folder" 1 "$("$mend" get "$target" livepatch/fix/plugin/patched)"
expect_match "its functions" "count,2" "$("$mend" ls "$target" livepatch/fix/plugin)"

# It goes with the module and comes again with it.
ask "close it" closed
expect "pending" 0 "$("$mend" get "$target" livepatch/fix/plugin/patched)"
ask "open $work/tree/plugin.so" opened
ask "run 1" "2 $((1000 + 800 + 2 + 2))"
expect_match "the log" "applying patch 'fix' to loading module 'plugin'" "$(cat "$work/events.log")"
expect_match "the log" "reverting patch 'fix' on unloading module 'plugin'" "$(cat "$work/events.log")"
expect_code 0 "$mend" disable "$target" fix
ask "run 1" "2 $((2000 + 200 + 2 + 3))"
expect_code 0 "$mend" remove "$target" fix

# A header that the program and the module include: both inlined it, both are replaced, in one
# transition; a later cumulative patch takes that back and brings another.
expect_code 0 "$patchc" apply --diff header_fix.patch --to "$target" --name header
expect_match "the program's" "replaced +host_weigh" "$output"
expect_match "the module's" "replaced +plugin:step" "$output"
ask "run 1" "3 $((3000 + 300 + 3 + 4))"
expect_code 0 "$patchc" apply --diff right_fix.patch --to "$target" --name right
ask "run 1" "2 $((4000 + 1100 + 2 + 5))"
expect_code 0 "$mend" revert "$target"
ask "run 1" "3 $((5000 + 500 + 3 + 6))"

# New statics of a patch are handed on to the next, as long as the module stays.
expect_code 0 "$patchc" apply --diff statics_fix.patch --to "$target" --name statics
ask "run 0" "0 $((5000 + 500 + 0 + 5 + 1 + 2 + 1))"
ask "run 0" "0 $((5000 + 500 + 0 + 8 + 2 + 4 + 1))"
expect_code 0 "$patchc" apply --diff statics_fix.patch --diff right_fix.patch --to "$target" --name both
ask "run 0" "0 $((5000 + 1200 + 0 + 14 + 3 + 6 + 1))"
ask "close it" closed
ask "open $work/tree/plugin.so" opened
ask "run 0" "0 $((0 + 700 + 0 + 0 + 1 + 2 + 1))"
expect_code 0 "$mend" disable "$target" both
ask "close it" closed

# Before the module is there: it is named, and the patch waits for it.
expect_code 0 "$patchc" build -o pending.mendpatch --base host --base-module plugin.so \
  --diff right_fix.patch --hold plugin:step --name pending
expect_match "the module's unit" "of module plugin" "$("$patchc" inspect pending.mendpatch)"
expect_code 0 "$patchc" apply pending.mendpatch --to "$target"
expect "pending" 0 "$("$mend" get "$target" livepatch/pending/plugin/patched)"
ask "open $work/tree/plugin.so" opened
expect "applied" 1 "$("$mend" get "$target" livepatch/pending/plugin/patched)"
ask "run 1" "2 $((1000 + 800 + 2 + 2))"
ask "close it" closed

# Another build of the module: what the patch replaces is not what it has. It is refused by name, and the
# program and the patch stay as they are.
mkdir other
sed 's/total += x; return total/total += x; return total + 1/' right.c >other/right.c
cp left.c shared.h other
(cd other && "$patchc" cc -O2 -fPIC -shared left.c right.c -o plugin.so)
say "open $work/tree/other/plugin.so"
hear
expect_match "a module that does not match" "module 'plugin' runs another count of right.c" "$answer"
expect_match "the log" "failed to initialize patch 'pending' for module 'plugin' \(-22\)" \
  "$(cat "$work/events.log")"
ask "open $work/tree/plugin.so" opened
ask "run 1" "2 $((1000 + 800 + 2 + 2))"
expect_code 0 "$mend" disable "$target" pending

# The same with the module there before the patch.
ask "close it" closed
expect_code 0 "$mend" remove "$target" pending
ask "open $work/tree/other/plugin.so" opened
expect_code 3 "$patchc" apply pending.mendpatch --to "$target"
expect_match "a base that does not match" "module 'plugin' runs another count of right.c" "$output"
expect "nothing is left" "" "$("$mend" ls "$target" livepatch)"
ask "run 1" "2 $((1000 + 200 + 2 + 2))"
expect_code 3 "$patchc" check --base "$target" --base-module plugin.so --diff right_fix.patch
expect_match "a module of two minds" "MEND-E0003: module 'plugin' is there, and is not plugin.so" "$output"

# What is refused of a module names it.
expect_code 3 "$patchc" check --base host --base-module host --diff right_fix.patch
expect_match "no module" "MEND-E0004: host is not a guest module" "$output"
edit right.c 's/static int total;/static long total;/' size_fix
expect_code 3 "$patchc" check --base host --base-module plugin.so --diff size_fix.patch
expect_match "a variable that grows" "MEND-E0110: right.c: variable 'total'" "$output"
expect_code 3 "$patchc" check --base host --base-module plugin.so --diff right_fix.patch --hold plugin:nowhere
expect_match "nothing to hold" "MEND-E0124" "$output"
finish

# The program's own constant, which a module reads that the diff does not reach.
cat >limits.c <<'C'
extern const int limits[2];
const int limits[2] = {3, 4};
__attribute__((noinline)) int limit(int i) { return limits[i]; }
int main(int argc, char** argv) { (void)argv; return limit(argc); }
C
echo 'extern const int limits[2]; int reads(int i) { return limits[i]; }' >reader.c
"$patchc" cc -O2 limits.c -o limits
"$patchc" cc -O2 -fPIC -shared reader.c -o reader.so
edit limits.c 's/{3, 4}/{3, 5}/' limits_fix
expect_code 0 "$patchc" check --base limits --diff limits_fix.patch
expect_code 3 "$patchc" check --base limits --base-module reader.so --diff limits_fix.patch
expect_match "who reads it" "MEND-E0112: limits.c: 'limits' is read by reader.c of module 'reader'" "$output"

# A new function of the program that the module's new code calls.
cat >tool.c <<'C'
#include <stdio.h>
#include <dlfcn.h>
__attribute__((noinline)) int used(int x) { return x; }
int main(void) {
  char line[512];
  void* handle = NULL;
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (handle == NULL) handle = dlopen("./part.so", RTLD_NOW);
    printf("%d %d\n", used(1), ((int (*)(int))dlsym(handle, "part"))(1));
    fflush(stdout);
  }
}
C
echo 'int part(int x) { return x + 1; }' >part.c
"$patchc" cc -O2 tool.c -o tool
"$patchc" cc -O2 -fPIC -shared part.c -o part.so
sed -i 's/int x) { return x; }/int x) { return helper(x); }/; s/^__attr/int helper_calls = 40;\n__attribute__((noinline)) int helper(int x) { return x + helper_calls++; }\n&/' tool.c
sed -i 's/^int part/extern int helper_calls, helper(int);\n&/; s/return x + 1/return helper(x) * 100 + helper_calls/' part.c
expect_code 0 "$patchc" build -o helper.mendpatch --base tool --base-module part.so tool.c part.c
start "$work/tree/tool"
hear
expect_code 0 "$patchc" apply helper.mendpatch --to "$hosted_pid"
expect_match "what the patch brings" '^  added +helper$' "$output"
ask "" "41 $((42 * 100 + 42))"
finish
