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

# The five, and the first thread at its fgets.
await_sleep() { await "all are asleep again" are_asleep; }
are_asleep() { [ "$("$mend" threads waiters | grep -c "blocked in")" -eq 6 ]; }

tick 1 first
await_sleep
expect_code 0 "$patchc" apply --diff "$samples/blocked/patches/second.patch" --to waiters --timeout 5
tick 2 second
await_sleep
expect_code 0 "$mend" disable waiters second
tick 3 first
finish
