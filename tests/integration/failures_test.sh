# What may go wrong around a patch goes wrong, at each step in turn: afterwards the program runs as before,
# the earlier patch is still active, the error said why, and a retry succeeds.
. "$(dirname "$0")/lib.sh"

"$patchc" c++ -O2 "$source_root/tests/integration/guest/program.cc" -o "$work/program"
make_patch() {  # NAME ADDED
  mkdir -p "$work/$1"
  sed "s/return n + 1;/return n + $2;/" "$source_root/tests/integration/guest/program.cc" >"$work/$1/program.cc"
  "$patchc" build -o "$work/$1.mendpatch" --name "$1" --base "$work/program" "$work/$1/program.cc" >"$work/build.log"
}
make_patch earlier 10
make_patch fix 20

# begin OPTIONS: a fresh program, to which the failpoint of the options may do harm at its start.
begin() {
  exec 7>&- 8>&- || true
  rm -f "$work/in" "$work/out" "$work/events.log"
  mkfifo "$work/in" "$work/out"
  exec 7<>"$work/in" 8<>"$work/out"
  MEND_OPTIONS="--log $work/events.log $1" "$work/program" <"$work/in" >"$work/out" 2>"$work/program.err" 7>&- 8>&- &
  hosted_pid=$!
  started=("$hosted_pid")
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    if read -r -t 0.1 -u 8 answer; then return; fi
    kill -0 "$hosted_pid" 2>/dev/null || break
  done
  local code=0
  wait "$hosted_pid" || code=$?
  expect "exit code of a program that cannot start with $1" 126 "$code"
  [ -s "$work/program.err" ] || fail "it does not say why, with $1"
  return 1
}

# apply_or_retry FILE BEFORE AFTER: applies it. When that fails, the reason is checked, the answer must still
# be BEFORE, and a retry must succeed. The answer is AFTER then.
apply_or_retry() {
  local file=$1 before=$2 after=$3 code=0
  timeout 60 "$patchc" apply "$work/$file.mendpatch" --to "$hosted_pid" >"$work/apply.log" 2>&1 || code=$?
  if [ "$code" -ne 0 ]; then
    expect_match "the reason" "failpoint" "$(cat "$work/apply.log")"
    ask plain "$before"
    refused=$((refused + 1))
    failed_here=1
    expect_code 0 "$patchc" apply "$work/$file.mendpatch" --to "$hosted_pid"
  fi
  ask plain "$after"
}

# with_failpoint NAME LEAST: hit K of NAME fails, for K = 0, 1, 2..., until nothing has failed ten times in
# a row; at least LEAST applies must have.
with_failpoint() {
  local at refused=0 failed_here quiet=0
  for ((at = 0; at < 200 && quiet < 10; at++)); do
    failed_here=0
    if begin "--failpoint $1:$at:1"; then
      apply_or_retry earlier "1 7 2" "10 7 2"
      apply_or_retry fix "10 7 2" "20 7 2"
      expect_code 0 "$mend" disable "$hosted_pid" fix
      ask plain "1 7 2"
      finish
    else
      failed_here=1
    fi
    if [ "$failed_here" -eq 1 ]; then quiet=0; else quiet=$((quiet + 1)); fi
  done
  [ "$refused" -ge "$2" ] || fail "$1: only $refused applies failed"
  echo "$1: $refused applies failed, and succeeded when repeated"
}

with_failpoint code_memory/protect 4
for step in transition/allocate_text transition/write_text transition/open_entries \
  transition/start_coordinator; do
  with_failpoint "$step" 1
done

# patchc is killed in the middle of an apply that compiles: either it was too early, or the patch is in.
begin ""
mkdir "$work/slow"
sed 's/return n + 1;/return n + 30;/' "$source_root/tests/integration/guest/program.cc" >"$work/slow/program.cc"
for delay in 0 0.02 0.05 0.1 0.2 0.3 0.5; do
  timeout -s KILL "$delay" "$patchc" apply "$work/slow/program.cc" --name slow --to "$hosted_pid" >"$work/apply.log" 2>&1 || true
  expect_code 0 "$mend" wait "$hosted_pid"
  say plain
  hear
  [ "$answer" = "1 7 2" ] || [ "$answer" = "30 7 2" ] || fail "after the kill at $delay: $answer"
  expect_code 0 "$mend" revert "$hosted_pid"
  ask plain "1 7 2"
done
expect_code 0 "$patchc" apply "$work/slow/program.cc" --name slow --to "$hosted_pid"
ask plain "30 7 2"

# Full disks: of who compiles, and of who is patched.
expect_code 0 "$mend" revert "$hosted_pid"
code=0
(ulimit -f 0; trap '' XFSZ; "$patchc" build -o "$work/full.mendpatch" --base "$work/program" "$work/slow/program.cc") \
  >"$work/full.log" 2>&1 || code=$?
[ "$code" -eq 1 ] || [ "$code" -eq 3 ] || fail "building onto a full disk ends with $code: $(cat "$work/full.log")"
expect_match "the reason" "full.mendpatch|File too large|No space" "$(cat "$work/full.log")"
[ ! -s "$work/full.mendpatch" ] || fail "half a module is left"
finish
start "$work/program"
hear
prlimit --pid "$hosted_pid" --fsize=0
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
ask plain "20 7 2"
expect_code 0 "$mend" revert "$hosted_pid"
ask plain "1 7 2"
finish

# No memory left: the patch is refused, or goes in; the program lives, and what follows works.
start "$work/program"
hear
bytes=$(($(awk '{ print $1 }' "/proc/$hosted_pid/statm") * 4096))
for spare in 0 100000 300000 1000000 10000000; do
  prlimit --pid "$hosted_pid" --as=$((bytes + spare)):unlimited
  timeout 60 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" >"$work/apply.log" 2>&1 || true
  prlimit --pid "$hosted_pid" --as=unlimited:unlimited
  kill -0 "$hosted_pid" 2>/dev/null || fail "with $spare bytes to spare the program died: $(tail -n 3 "$work/program.err")"
  expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
  ask plain "20 7 2"
  expect_code 0 "$mend" revert "$hosted_pid"
  ask plain "1 7 2"
done

# The target ends in the middle of an apply, which a unit holds up.
ask u "in unit"
(sleep 0.5; kill -KILL "$hosted_pid") &
expect_code 6 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
wait "$hosted_pid" 2>/dev/null || true
