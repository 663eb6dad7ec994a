# samples/blocked: every thread sleeps in another call; each is switched where it is, and none wakes.
. "$(dirname "$0")/lib.sh"

"$patchc" c++ -std=c++20 -O2 -pthread "$samples/blocked/waiters.cc" -o "$work/waiters"
start "$work/waiters"
await_target
hear
expect "first line" ready "$answer"

# tick TIMES VERSION: wakes all; each of the five must say so.
tick() {
  say ""
  local i
  for i in 1 2 3 4 5; do
    hear
    expect_match "waiter $i" ": woke $1 times?, $2\$" "$answer"
  done
}

tick 1 first
sleep 0.2  # so that all are asleep again
expect_code 0 "$mend" threads waiters
expect_match "the threads are blocked" blocked "$output"
expect_code 0 "$patchc" apply --diff "$samples/blocked/patches/second.patch" --to waiters --timeout 5
tick 2 second
sleep 0.2
expect_code 0 "$mend" disable waiters second
tick 3 first
exec 7>&-
expect_end "the program's exit code" 0
