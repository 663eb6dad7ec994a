# Explicit patches: what a comparison would have found is checked when they are applied, and a refusal
# changes nothing.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh" "$1"

"$patchc" c++ -O2 "$source_root/tests/integration/guest/program.cc" -o "$work/program"

# make_patch NAME LANGUAGE ENTRIES [CODE]: an explicit patch of the program with these functions.
make_patch() {
  cat > "$work/$1.$2" <<END
#include <mend/livepatch.h>
${4:-}
static int plain(int n) { return n + 10; }
static const struct mend_func funcs[] = {$3, MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(0, funcs, 0, 0, 0, 0), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, 0, true};
MEND_LIVEPATCH(patch);
END
  expect_code 0 "$patchc" build -o "$work/$1.mendpatch" --explicit "$work/$1.$2" -- -Wall -Werror
}

# refused NAME PATTERN [ARGS...]
refused() {
  local name=$1 pattern=$2
  shift 2
  expect_code 3 "$patchc" apply "$work/$name.mendpatch" --to "$hosted_pid" "$@"
  expect_match "the refusal of $name" "$pattern" "$output"
  ask plain "1 7 2"
}

start "$work/program"
hear
expect "first line" ready "$answer"
ask plain "1 7 2"

make_patch nothing c 'MEND_FUNC("no_such_function", plain)'
refused nothing "EINVAL: Invalid argument \(symbol 'no_such_function' not found in symbol table"
make_patch undefined c 'MEND_FUNC("_Z5Plaini", undefined), MEND_FUNC("_Z5Quieti", plain)' 'int undefined(int n);'
refused undefined "undefined symbol: undefined"
make_patch position c 'MEND_FUNC_AT("_Z5Plaini", plain, 2)'
refused position "EINVAL: Invalid argument \(symbol position 2 for symbol '_Z5Plaini' in object 'program' not found"
make_patch inlined c 'MEND_FUNC("_ZL5Smalli", plain)'
refused inlined "'_ZL5Smalli' is also inlined into 'UsesSmall\(int\)'"
make_patch throwing cc 'MEND_FUNC("_Z5Quieti", throwing), MEND_FUNC("_Z5Plaini", plain)' \
  'static int throwing(int n) { if (n == 77) throw n; return n + 20; }'
refused throwing "'_Z5Quieti' may throw"
make_patch quiet cc 'MEND_FUNC("_Z5Quieti", quiet), MEND_FUNC("_Z5Plaini", plain)' \
  'static int quiet(int n) noexcept { return n + 20; }'
refused quiet "EINVAL: " --param no_such_parameter=1

expect_code 0 "$patchc" apply "$work/inlined.mendpatch" --to "$hosted_pid" --allow-inlined
# The call through the pointer reaches the new function, the inlined copy is the old code.
ask plain "1 15 2"
expect_code 0 "$patchc" apply "$work/quiet.mendpatch" --to "$hosted_pid"
ask plain "10 7 20"
expect_code 0 "$mend" disable "$hosted_pid" quiet
ask plain "1 7 2"

# What comes and goes with a state: with the first patch that has it, with the last.
# state_patch NAME LANGUAGE VERSION [MORE]
state_patch() {
  cat >"$work/$1.$2" <<END
#include <mend/livepatch.h>
static int key;
static int setup(struct mend_state* state) {
  mend_log("setup of %lu, version %u", state->id, state->version);
  return mend_shadow_alloc(&key, 7, 8, 0, 0) ? 0 : -12;
}
static void enable(struct mend_state* state) { mend_log("enable %u", state->version); }
static void disable(struct mend_state* state) { mend_log("disable %u", state->version); }
static void release(struct mend_state* state) { mend_log("release %u", state->version); }
static void destroy(void* object, void* data) {
  (void)data;
  mend_log("destroyed: %d", object != 0);
}
static int plain(int n) { return n + $3; }
static const struct mend_func funcs[] = {MEND_FUNC("_Z5Plaini", plain), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(0, funcs, 0, 0, 0, 0), MEND_OBJECTS_END};
static struct mend_state states[] = {{7, $3, 0}, MEND_STATES_END};
static struct mend_patch patch = {objects, states, true};
MEND_LIVEPATCH(patch);
MEND_STATE_CALLBACKS(7, setup, enable, disable, release);
MEND_STATE_SHADOW(7, destroy);
${4:-}
END
  expect_code 0 "$patchc" build -o "$work/$1.mendpatch" --explicit "$work/$1.$2" -- -Wall -Werror
}
# logged LINES: what the patches have logged since the last look.
seen=0
logged() {
  local all
  all=$(grep -E '^(setup|enable|disable|release|destroyed)' "$work/events.log" || true)
  expect "what was logged" "$1" "$(tail -n +$((seen + 1)) <<<"$all" | tr '\n' ';')"
  seen=$(grep -c . <<<"$all" || true)
}
state_patch one c 1
state_patch two cc 2
state_patch both c 3 'MEND_STATE_SHADOW(7, 0);'
state_patch stray c 4 'MEND_STATE_SHADOW(9, 0);'
refused both "state 7 has two owners"
refused stray "no state 9, but an owner for it"
expect_code 0 "$patchc" apply "$work/one.mendpatch" --to "$hosted_pid"
ask plain "1 7 2"
logged "setup of 7, version 1;enable 1;"
expect_code 0 "$patchc" apply "$work/two.mendpatch" --to "$hosted_pid"
ask plain "2 7 2"
expect "nothing, on the hand-over" "$seen" "$(grep -cE '^(setup|enable|disable|release|destroyed)' "$work/events.log")"
# One that lacks the state takes it off; going back brings it again.
expect_code 0 "$patchc" apply "$work/quiet.mendpatch" --to "$hosted_pid"
logged "disable 2;release 2;destroyed: 1;"
expect_code 0 "$mend" revert "$hosted_pid"
logged "setup of 7, version 2;enable 2;"
expect_code 0 "$mend" disable "$hosted_pid" two
logged "disable 2;release 2;destroyed: 1;"
# Nothing keeps the patch's text.
expect_code 0 "$mend" remove "$hosted_pid" two
expect_code 0 "$mend" remove "$hosted_pid" one

# What belongs to a state may stand in another source of the patch, on a line of the same number.
cat >"$work/twin_a.c" <<'END'
#include <mend/livepatch.h>
static int setup(struct mend_state* state) { mend_log("setup of %lu", state->id); return 0; }
static struct mend_state states[] = {{7, 1, 0}, {8, 1, 0}, MEND_STATES_END};
static const struct mend_object_desc objects[] = {MEND_OBJECT(0, 0, 0, 0, 0, 0), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, states, true};
MEND_STATE_CALLBACKS(7, setup, 0, 0, 0);
MEND_LIVEPATCH(patch);
END
cat >"$work/twin_b.c" <<'END'
#include <mend/livepatch.h>
static int setup(struct mend_state* state) { mend_log("setup of %lu, b", state->id); return 0; }
static void release(struct mend_state* state) { mend_log("release of %lu, b", state->id); }


MEND_STATE_CALLBACKS(8, setup, 0, 0, release);
MEND_STATE_SHADOW(7, 0);
END
expect_code 0 "$patchc" build -o "$work/twin.mendpatch" --name twin --explicit "$work/twin_a.c" "$work/twin_b.c" -- -Wall -Werror
expect_code 0 "$patchc" apply "$work/twin.mendpatch" --to "$hosted_pid"
logged "setup of 7;setup of 8, b;"
expect_code 0 "$mend" disable "$hosted_pid" twin
logged "release of 8, b;"
expect_code 0 "$mend" remove "$hosted_pid" twin

# Applied or enabled once more, it starts afresh, but for what was set; refused, it stays as it was.
cat >"$work/fresh.c" <<'END'
#include <mend/livepatch.h>
static int runs, refuse, level = 1;
MEND_PARAM_INT(refuse);
MEND_PARAM_INT(level);
static int pre(struct mend_object* object) {
  (void)object;
  mend_log("setup as run %d at level %d", ++runs, level);
  return refuse ? -19 : 0;
}
static int plain(int n) { return n + 4; }
static const struct mend_func funcs[] = {MEND_FUNC("_Z5Plaini", plain), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(0, funcs, pre, 0, 0, 0), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, 0, true};
MEND_LIVEPATCH(patch);
END
expect_code 0 "$patchc" build -o "$work/fresh.mendpatch" --explicit "$work/fresh.c"
expect_code 0 "$patchc" apply "$work/fresh.mendpatch" --to "$hosted_pid" --param level=7
expect_code 0 "$mend" disable "$hosted_pid" fresh
expect_code 0 "$mend" enable "$hosted_pid" fresh
logged "setup as run 1 at level 7;setup as run 1 at level 7;"
ask plain "4 7 2"
expect_code 0 "$mend" disable "$hosted_pid" fresh
expect_code 0 "$mend" set "$hosted_pid" module/fresh/parameters/refuse 1
expect_code 3 "$mend" enable "$hosted_pid" fresh
expect_match "the callback's refusal" "ENODEV: No such device" "$output"
expect_code 3 "$patchc" apply "$work/fresh.mendpatch" --to "$hosted_pid" --param refuse=1
expect_code 3 "$patchc" apply "$work/fresh.mendpatch" --to "$hosted_pid" --param nothing=1
logged "setup as run 1 at level 7;setup as run 1 at level 1;"
expect "a parameter of what is still there" 7 "$("$mend" get "$hosted_pid" module/fresh/parameters/level)"
ask plain "1 7 2"
expect_code 0 "$mend" set "$hosted_pid" module/fresh/parameters/refuse 0
expect_code 0 "$mend" enable "$hosted_pid" fresh
logged "setup as run 1 at level 7;"
# One that was replaced is there to go back to, whoever asked for it in vain.
expect_code 0 "$patchc" apply "$work/quiet.mendpatch" --to "$hosted_pid"
expect_code 3 "$patchc" apply "$work/fresh.mendpatch" --to "$hosted_pid" --param refuse=1
ask plain "10 7 20"
expect_code 0 "$mend" revert "$hosted_pid"
ask plain "4 7 2"
expect_code 0 "$mend" disable "$hosted_pid" fresh
expect_code 0 "$mend" remove "$hosted_pid" fresh
expect_code 0 "$mend" remove "$hosted_pid" quiet
ask plain "1 7 2"

# A function marked MEND_UNIT is held in every patch.
ask u "in unit"
expect_code 4 "$patchc" apply "$work/quiet.mendpatch" --to "$hosted_pid" --timeout 0.5
expect_match "what held it" "Unit" "$output"
expect_code 5 "$patchc" apply "$work/quiet.mendpatch" --to "$hosted_pid" --no-wait
ask on 1001
expect_code 0 "$mend" wait "$hosted_pid" --timeout 20
ask plain "10 7 20"
finish
