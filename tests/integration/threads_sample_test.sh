# samples/threads: busy threads switch without a mix; a task of two seconds holds the patch back, is
# named while it does, and is no obstacle in the end; turning round in the middle; a time-out reverses.
. "$(dirname "$0")/lib.sh"

"$patchc" c++ -std=c++20 -O2 -pthread "$samples/threads/workers.cc" -o "$work/workers"
start "$work/workers"
await_target
hold=(--hold SpinningUnit --hold RecursingUnit --hold SleepingUnit)
diff=$samples/threads/patches/second.patch

# The task that holds it may be just about to end.
for try in $(seq 10); do
  expect_code 5 "$patchc" apply --diff "$diff" --to workers --no-wait "${hold[@]}"
  expect_code 0 "$mend" threads workers
  ! grep -q Task <<<"$output" || break
  [ "$try" -lt 10 ] || fail "the straggler's function is not named: $output"
  expect_code 0 "$mend" wait workers --timeout 10
  expect_code 0 "$mend" disable workers second
done
expect_code 0 "$mend" wait workers --timeout 10
expect_code 0 "$mend" status workers
expect_match "the patch is on" second "$output"

expect_code 5 "$mend" disable workers second --no-wait
expect_code 0 "$mend" enable workers second  # turns it round
expect_code 0 "$mend" get workers livepatch/second/enabled
expect "enabled after the reversal" 1 "$output"

expect_code 4 "$mend" disable workers second --timeout 0.3
expect_code 0 "$mend" get workers livepatch/second/enabled
expect "enabled after the time-out" 1 "$output"
expect_code 0 "$mend" disable workers second

exec 7>&-
expect_end "exit code (1: units were mixed)" 0
