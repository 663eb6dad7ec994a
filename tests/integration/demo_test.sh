# The demo passes; and without holding the caller it finds mixed answers, so that passing means
# something. demo_test.sh BUILD [--no-hold]
. "$(dirname "$0")/lib.sh"
shift

code=0
"$samples/kv/demo" --build "$build" --seconds 1 "$@" >"$work/demo.log" 2>&1 || code=$?
cat "$work/demo.log"
if [ "${1:-}" = --no-hold ]; then
  expect "exit code" 1 "$code"
  expect_match "verdict" 'demo: [1-9][0-9]* mixed answers' "$(cat "$work/demo.log")"
else
  expect "exit code" 0 "$code"
  expect_match "verdict" 'failed 0, mixed 0, answered by 1\.0: [1-9][0-9]* 1\.0\.1: [1-9][0-9]* 1\.1: [1-9]' \
    "$(cat "$work/demo.log")"
fi
