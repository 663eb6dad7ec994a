# A program's own run is repeated, with the patch going in at the first, the second, the third... safepoint
# and out again some safepoints later. What it prints must be, line for line, that of the run that was never
# patched or of the one that was patched throughout: first the one, then the other, then the one again.
# every_safepoint_test.sh BUILD STOPS: STOPS is how many places are tried, spread over the run; 0: all of them.
#
# The thread polls at each safepoint (failpoints of a test build), and waits at the chosen ones until the
# request is there.
. "$(dirname "$0")/lib.sh"
stops=${2:-8}
serial=0

# begin FAILPOINTS...: starts "${command[@]}" with "$input" and waits for nothing.
begin() {
  local name options=
  for name in "$@"; do options+=" --failpoint $name"; done
  serial=$((serial + 1))
  # Here, not by the child alone: await_stop might read what the run before said.
  : >"$work/program.err"
  MEND_OPTIONS="--log $work/events.log --socket $work/$serial.sock$options" \
    "${command[@]}" <"$input" >"$work/out" 2>"$work/program.err" &
  hosted_pid=$!
  started=("$hosted_pid")
}

# await_stop N: the program stopped N times. Fails when it has ended instead.
await_stop() {
  local tries
  for ((tries = 0; tries < 6000; tries++)); do
    [ "$(grep -c 'stopped at a safepoint' "$work/program.err")" -ge "$1" ] && return
    kill -0 "$hosted_pid" 2>/dev/null || return 1
    sleep 0.01
  done
  fail "the program neither stopped nor ended"
}

end() {
  expect_end "exit code $*" "$exit_code"
}

# is_past_the_end CODE: it stopped on its way out, when nobody can reach it any more. Not whoever answered, and
# goes on to its end meanwhile.
is_past_the_end() {
  [ "$1" -eq 6 ] && [ ! -S "$work/$serial.sock" ] && kill -KILL "$hosted_pid" 2>/dev/null || return 1
  wait "$hosted_pid" 2>/dev/null || true
}

# is_answer CODE: under way, or the program ended meanwhile.
is_answer() { [ "$1" -eq 0 ] || [ "$1" -eq 5 ] || [ "$1" -eq 6 ]; }

# run_at K M: the patch goes in at safepoint K, out M later. Fails when the run has no more than K.
# An apply or disable that finds the program gone is no failure of this test.
run_at() {
  begin safepoint/poll_always "safepoint/await_patch:$1:1" "safepoint/await_unpatch:$(($1 + $2)):1"
  if ! await_stop 1; then
    end "at $1"
    return 1
  fi
  # Seen once, under AddressSanitizer on a busy machine: the program had stopped, apply found no socket, and
  # then there was one. Past the end there is none any more, and the wait is in vain.
  local answer=0 tries
  for ((tries = 0; tries < 500; tries++)); do
    [ ! -S "$work/$serial.sock" ] || break
    sleep 0.01
  done
  timeout 60 "$patchc" apply "$work/fix.mendpatch" --to "$work/$serial.sock" --no-wait >"$work/apply.log" 2>&1 ||
    answer=$?
  is_answer "$answer" || fail "the patch does not go in at $1: $(cat "$work/apply.log")"
  if is_past_the_end "$answer"; then
    # One that had the patch and went on to its second stop, out there, had no time to say so.
    [ "$(grep -c 'stopped at a safepoint' "$work/program.err")" -ge 2 ]
    return
  fi
  if await_stop 2; then
    answer=0
    timeout 60 "$mend" disable "$work/$serial.sock" fix --no-wait >"$work/disable.log" 2>&1 || answer=$?
    is_answer "$answer" || fail "the patch does not go out at $1 + $2: $(cat "$work/disable.log")"
    if is_past_the_end "$answer"; then return 0; fi
  fi
  end "at $1"
  awk -v never="$work/never" -v always="$work/always" '
    { getline old <never; getline new <always }
    $0 == old && $0 == new { next }
    $0 == old { if (phase == 1) phase = 2; next }
    $0 == new { if (phase == 2) bad = 1; phase = 1; seen = 1; next }
    { bad = 1 }
    END { exit bad || NR != lines ? 1 : seen ? 0 : 2 }' lines="$(wc -l <"$work/never")" "$work/out" || {
    local verdict=$?
    [ "$verdict" -eq 2 ] || { diff "$work/never" "$work/out" | head; fail "mixed output, patched at safepoint $1"; }
    return 0
  }
  patched_runs=$((patched_runs + 1))
}

# The first safepoint at which the program can be patched: some lie in the runtime's own start.
find_first() {
  for ((first = 0; first < 100; first++)); do
    begin safepoint/poll_always "safepoint/await_patch:$first:1"
    await_stop 1 || fail "the program ended before it could be patched"
    local answers=0
    timeout 5 "$mend" status "$work/$serial.sock" >/dev/null 2>&1 || answers=$?
    kill -KILL "$hosted_pid"
    wait "$hosted_pid" 2>/dev/null || true
    [ "$answers" -ne 0 ] || return 0
  done
  fail "the program cannot be patched at its first $first safepoints"
}

# every NAME: over all stops of the program, or $stops of them.
every() {
  local at step=1 runs=0 first
  patched_runs=0
  exit_code=0
  begin
  end "unpatched"
  cp "$work/out" "$work/never"
  mkdir -p "$work/patches"
  cp "$work/fix.mendpatch" "$work/patches"
  MEND_OPTIONS="--no-socket --log /dev/null --patch-dir $work/patches" "${command[@]}" <"$input" >"$work/always"
  find_first
  # How many safepoints there are, by doubling and halving.
  if [ "$stops" -ne 0 ]; then
    local low=$first high=$((first + 16)) middle
    while begin safepoint/poll_always "safepoint/await_patch:$high:1"; await_stop 1; do
      kill -KILL "$hosted_pid"
      wait "$hosted_pid" 2>/dev/null || true
      low=$high high=$((high * 4))
    done
    end "to count"
    while [ $((high - low)) -gt $((low / 16 + 1)) ]; do
      middle=$(((low + high) / 2))
      begin safepoint/poll_always "safepoint/await_patch:$middle:1"
      if await_stop 1; then low=$middle; kill -KILL "$hosted_pid"; else high=$middle; fi
      wait "$hosted_pid" 2>/dev/null || true
    done
    step=$(((low - first) / stops + 1))
  fi
  at=$first
  while run_at "$at" "$((step * 2 + 1))"; do
    at=$((at + step))
    runs=$((runs + 1))
  done
  [ "$runs" -ge 3 ] || fail "$1: only $runs safepoints"
  echo "$1: the patch went in at $runs safepoints, every ${step}th; $patched_runs runs show it"
}

"$patchc" cc -O2 "$samples/basic/greet.c" -o "$work/greet"
command=("$work/greet") input=$work/names
for word in 1 2; do printf "%s\n" Ada Grace Barbara Alan Edsger Donald Dennis Ken Bjarne Niklaus; done >"$input"
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/greet" --diff "$samples/basic/patches/polite.patch"
every basic
[ "$patched_runs" -gt 0 ] || fail "no run shows the patch"

"$patchc" cc -O2 "$samples/cumulative/price.c" -o "$work/price"
command=("$work/price") input=$work/amounts
seq 100 700 9000 >"$input"
patches=("$samples"/cumulative/patches/*.patch)
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/price" --diff "${patches[0]}"
every cumulative
[ "$patched_runs" -gt 0 ] || fail "no run shows the patch"

# Lua: the fix of CVE-2022-28805 changes no answer of the suite, so that each run must print the same.
if ! "$source_root/tests/integration/fetch_source.sh" lua5.4 "$work/lua" >"$work/fetch.log"; then
  echo "lua: $(tail -n 1 "$work/fetch.log")"
  exit 0
fi
make -s -C "$work/lua/src" -j 2 a lua CC="$patchc cc" SYSCFLAGS=-DLUA_USE_LINUX \
  SYSLIBS="-Wl,-E -ldl" >"$work/make.log" 2>&1
command=("$work/lua/src/lua" "$source_root/tests/integration/suite.lua") input=/dev/null
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/lua/src/lua" \
  --diff "$work/lua/debian/patches/0004-cve-2022-28805.patch"
every lua
