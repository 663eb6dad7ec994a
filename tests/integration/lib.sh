# What the integration scripts share; sourced with the build directory as $1. Every script runs the
# real binaries of that build, in a temporary directory, with control sockets of its own.
set -euo pipefail

build=$1
source_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
samples=$source_root/samples
patchc=$build/bin/patchc
mend=$build/bin/mend
work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work/run NO_COLOR=1
mkdir -m 700 "$XDG_RUNTIME_DIR"
unset MEND_OPTIONS

hosted_pid=
started=()
on_exit() {
  local code=$? pid
  for pid in ${started[@]+"${started[@]}"}; do kill -KILL "$pid" 2>/dev/null || true; done
  if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
    for file in "$work"/*.err "$work"/*.log; do
      [ -s "$file" ] && { echo "--- $(basename "$file")"; tail -n 40 "$file"; }
    done
  fi
  rm -rf "$work"
  exit "$code"
}
trap on_exit EXIT

fail() { echo "FAILED: $*"; exit 1; }

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# expect_match WHAT PATTERN GOT: PATTERN as for grep -E, in any line.
expect_match() { grep -qE -- "$2" <<<"$3" || fail "$1: wanted a match of '$2' in: $3"; }

# expect_code CODE COMMAND...: runs it; its output, both streams, is then in $output.
output=
expect_code() {
  local wanted=$1 code=0
  shift
  output=$(timeout 60 "$@" 2>&1) || code=$?
  [ "$code" -eq "$wanted" ] || fail "'$*' ended with $code, wanted $wanted: $output"
}

# expect_end WHAT CODE [PID]: the process (the hosted program's, if none is named) ends with that exit code.
expect_end() {
  local code=0
  wait "${3:-$hosted_pid}" || code=$?
  expect "$1" "$2" "$code"
}

# await WHAT COMMAND...: until the command succeeds; a minute, on the busiest machine. What it prints is shown
# only if that does not happen, so it must not be what fails the test.
await() {
  local what=$1 tries
  shift
  for tries in $(seq 1200); do
    "$@" >"$work/await.log" 2>&1 && return
    sleep 0.05
  done
  fail "not within a minute: $what"
}

# says PATTERN COMMAND...: a line of the command's output matches, as for grep -E.
says() {
  local pattern=$1
  shift
  "$@" 2>/dev/null | grep -E -- "$pattern" >/dev/null
}

# await_sleep, await_running: the program's first thread is asleep, in whatever call, or runs.
await_sleep() { await "the program sleeps" grep '^State:.S' "/proc/$hosted_pid/status"; }
await_running() { await "the program runs" grep '^State:.R' "/proc/$hosted_pid/status"; }

# launch PROGRAM ARGS...: starts it with its standard input at descriptor 7 and its standard output at
# descriptor 8; its pid is then in $hosted_pid.
launch() {
  rm -f "$work/in" "$work/out"
  mkfifo "$work/in" "$work/out"
  exec 7<>"$work/in" 8<>"$work/out"
  "$@" <"$work/in" >"$work/out" 2>"$work/program.err" 7>&- 8>&- &
  hosted_pid=$!
  started+=("$hosted_pid")
}

# start PROGRAM ARGS...: the same, with an event log, $work/events.log.
start() {
  rm -f "$work/events.log"
  MEND_OPTIONS="--log $work/events.log" launch "$@"
}

# A target that is still being exec'd has no socket yet.
await_target() {
  local tries
  for tries in $(seq 100); do
    [ -S "$XDG_RUNTIME_DIR/mend/$hosted_pid.sock" ] && return
    kill -0 "$hosted_pid" 2>/dev/null || fail "the program ended before it could be patched"
    sleep 0.05
  done
  fail "no control socket after $tries tries"
}

say() { printf '%s\n' "$*" >&7; }

# The program's next line of output, in $answer.
answer=
hear() { read -r -t 20 -u 8 answer || fail "no output from the program within 20 s"; }

# ask LINE WANTED: says the line; the next line of output must be WANTED.
ask() {
  say "$1"
  hear
  expect "answer to '$1'" "$2" "$answer"
}

# log_becomes LOG EXPECTED TRIES: the log holds exactly what the other file does, or comes to. A command's lines
# are there when it returns; what the program's own threads log comes when it comes.
log_becomes() {
  local tries
  for tries in $(seq "$3"); do
    cmp -s "$1" "$2" && return
    [ "$(wc -l <"$1")" -gt "$(wc -l <"$2")" ] && break
    sleep 0.05
  done
  diff -u "$2" "$1" || fail "the log differs, see above"
}

# goes_in_and_out: $work/fix.mendpatch can be applied, and taken off: the answers to "go" are 2, then 1.
goes_in_and_out() {
  expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
  ask go 2
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask go 1
}

# Ends the program by the end of its input; it must exit with the code (default 0).
finish() {
  exec 7>&-
  expect_end "the program's exit code" "${1:-0}"
  exec 8>&-
}
