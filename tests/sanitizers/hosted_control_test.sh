# The control of every test of a hosted program in a build with AddressSanitizer: libmend.so is
# instrumented there, its reports are seen, and a sound program is not reported.
source "$(dirname -- "${BASH_SOURCE[0]}")/../integration/lib.sh" "$@"
reports=$work/reports
export ASAN_OPTIONS=log_path=$reports/report

"$patchc" cc -O1 -g "$(dirname -- "${BASH_SOURCE[0]}")/misuse.c" -o "$work/misuse"

# expect_report ARGUMENT WANTED: the report says so, and names libmend's own code.
expect_report() {
  rm -rf "$reports"
  "$work/misuse" "$1" >"$work/misuse.out" 2>"$work/misuse.err" && fail "$1: nothing was noticed"
  cat "$reports"/* >"$work/report.log" 2>/dev/null || fail "$1: no report"
  expect_match "the report of $1" "$2" "$(cat "$work/report.log")"
  expect_match "where $1 was noticed" "waiting_calls.cc|blocking.h" "$(cat "$work/report.log")"
}

"$work/misuse" sound || fail "a sound program ended with $?"
[ -z "$(find "$reports" -type f 2>/dev/null)" ] || fail "a sound program was reported"
expect_report freed heap-use-after-free
expect_report misaligned "misaligned address"
