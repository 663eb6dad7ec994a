# What cannot be done safely is refused with exit code 3, a stable code and a reason that names the
# culprit, before anything changed: the program goes on as before, the earlier patch stays active.
. "$(dirname "$0")/lib.sh"

cat >"$work/account.c" <<'SOURCE'
#include <stdio.h>
#include <stdlib.h>

struct account {
  long balance;
  int id;
};

static struct account *account;
static long limit = 1000;
static const long fees[] = {1, 2, 3};

__attribute__((noinline)) long fee(long amount) { return fees[amount % 3]; }

__attribute__((noinline)) void deposit(long amount) {
  if (amount > limit) amount = limit;
  account->balance += amount - fee(amount);
  printf("balance %ld\n", account->balance);
  fflush(stdout);
}

int main(void) {
  char line[64];
  account = calloc(1, sizeof *account);
  while (fgets(line, sizeof line, stdin) != NULL) deposit(strtol(line, NULL, 10));
  return 0;
}
SOURCE
cp "$work/account.c" "$work/original.c"
"$patchc" cc -O2 "$work/account.c" -o "$work/account"
start "$work/account"
await_target
ask 10 "balance 8"

# An edit of the source, applied from the file in its place; the original comes back afterwards.
edit() {
  sed "$1" "$work/original.c" >"$work/account.c"
  cmp -s "$work/original.c" "$work/account.c" && fail "the edit '$1' edits nothing"
  return 0
}
# refuse WHAT EDIT PATTERN
refuse() {
  edit "$2"
  expect_code 3 "$patchc" apply "$work/account.c" --to "$hosted_pid"
  expect_match "$1" "$3" "$output"
  expect_match "$1 has a code" 'MEND-E[0-9]{4}' "$output"
  local code
  code=$(grep -oE 'MEND-E[0-9]{4}' <<<"$output" | head -n 1)
  expect_code 0 "$patchc" explain "$code"
}

refuse "compile error" 's/amount > limit/amount > no_such_variable/' no_such_variable
refuse "a warning that a pragma makes an error" \
  '1s/^/#pragma GCC diagnostic error "-Wunused-variable"\n/; s/  fflush(stdout);/&\n  int unused_here;/' \
  unused_here
refuse "record layout" 's/^  int id;/  int id;\n  int rank;/; s/balance += amount/balance += amount + account->rank/' account
refuse "initial value" 's/limit = 1000/limit = 5/' limit
refuse "type of data" 's/static long limit/static int limit/' limit
# Found by the host, when it links the patch.
refuse "undefined symbol" \
  's/^__attribute__((noinline)) void dep/void nowhere_defined(void);\n&/; s/  fflush(stdout);/&\n  nowhere_defined();/' \
  'MEND-E0140.*nowhere_defined'
# A running base is asked before anything is sent there.
expect_code 3 "$patchc" check --base "$hosted_pid" "$work/account.c"
expect_match "undefined symbol, checked" "MEND-E0140.*nowhere_defined" "$output"
expect_match "undefined symbol, checked, has a way out" "way out: " "$output"
expect_code 3 "$patchc" build -o "$work/undefined.mendpatch" --base "$hosted_pid" "$work/account.c"
[ ! -e "$work/undefined.mendpatch" ] || fail "a module that its base refuses was written"
expect_code 0 "$patchc" check --base "$work/account" "$work/account.c"

# A base that is not there.
expect_code 6 "$patchc" check --base nobody-runs-this "$work/account.c"
expect_match "no target and no file" "no running program is called 'nobody-runs-this'.*no file" "$output"
expect_code 6 "$patchc" check --base 999999999 "$work/account.c"
expect_code 3 "$patchc" check --base ./no-such-program "$work/account.c"
expect_match "no program" "neither a program nor a control socket" "$output"

# refuse_module WHAT FILE CODE: a module, which the target refuses.
refuse_module() {
  expect_code 3 "$patchc" apply "$2" --to "$hosted_pid"
  expect_match "$1" "(EINVAL|EBUSY): .*MEND-E$3" "$output"
  expect_match "$1 has a way out" 'way out: ' "$output"
  expect_code 3 "$patchc" apply --json "$2" --to "$hosted_pid"
  expect_match "$1, as JSON" "\"code\":\"MEND-E$3\"" "$output"
  expect_code 0 "$patchc" explain "MEND-E$3"
}
edit 's/"balance %ld/"BALANCE %ld/'
cp "$work/account.c" "$work/edited.c"
sed 's/balance %ld/the balance %ld/' "$work/original.c" >"$work/account.c"
"$patchc" cc -O2 "$work/account.c" -o "$work/other"
cp "$work/edited.c" "$work/account.c"
"$patchc" build -o "$work/other.mendpatch" --base "$work/other" "$work/account.c"
refuse_module "a module for another program" "$work/other.mendpatch" 0142
"$patchc" build -o "$work/upper.mendpatch" --base "$work/account" "$work/account.c"
head -c 300 "$work/upper.mendpatch" >"$work/cut.mendpatch"
refuse_module "a module that is cut off" "$work/cut.mendpatch" 0141
{ head -c 300 "$work/upper.mendpatch"; printf XX; tail -c +303 "$work/upper.mendpatch"; } >"$work/damaged.mendpatch"
refuse_module "a damaged module" "$work/damaged.mendpatch" 0141
# A transition that cannot end: main is on its thread's stack.
expect_code 5 "$patchc" apply "$work/account.c" --to "$hosted_pid" --name endless --hold main --no-wait
refuse_module "a module while another is in transition" "$work/upper.mendpatch" 0143
expect_code 0 "$mend" disable "$hosted_pid" endless

# Nothing of that has touched the program.
ask 10 "balance 16"

# With a patch active, a refusal leaves that patch active.
edit 's/"balance %ld/"BALANCE %ld/'
expect_code 0 "$patchc" apply "$work/account.c" --to "$hosted_pid" --name upper
ask 10 "BALANCE 24"
refuse "initial value under a patch" 's/limit = 1000/limit = 5/' limit
ask 10 "BALANCE 32"
expect_code 0 "$mend" get "$hosted_pid" livepatch/upper/enabled
expect "the earlier patch is on" 1 "$output"

# The program's own sources are no patch, and do not take one back: what runs is said.
cp "$work/original.c" "$work/account.c"
expect_code 0 "$patchc" apply "$work/account.c" --to "$hosted_pid"
expect_match "no change" "no change" "$output"
expect_match "no change under a patch" "patch 'upper' stays applied" "$output"

# A constant that only the readers in the patch read may change with them.
edit 's/{1, 2, 3}/{2, 3, 4}/'
expect_code 0 "$patchc" apply "$work/account.c" --to "$hosted_pid" --name fees
ask 9 "balance 39"

# Nobody reads a patch's warnings, so they are not looked for, unless the unit makes errors of them.
for strictness in -Wall -Werror=unused-variable; do
  cp "$work/original.c" "$work/account.c"
  "$patchc" cc -O2 "$strictness" "$work/account.c" -o "$work/checked"
  edit 's/  fflush(stdout);/&\n  int unused_here;/'
  if [ "$strictness" = -Wall ]; then
    expect_code 0 "$patchc" check --base "$work/checked" "$work/account.c"
  else
    expect_code 3 "$patchc" check --base "$work/checked" "$work/account.c"
    expect_match "the error" "unused_here" "$output"
  fi
done

# Wrong usage and targets that are not there.
expect_code 2 "$patchc" apply --to
expect_code 2 "$patchc" check --base 999999999 -p -1 --diff "$work/account.c"
expect_code 6 "$patchc" apply "$work/account.c" --to 999999999
expect_code 6 "$mend" status 999999999
finish
