# samples/basic: patched, patched with the same again, unpatched; the counter lives on, the old answer
# is gone while the patch is on, and applying changes nothing the second time.
. "$(dirname "$0")/lib.sh"

"$patchc" cc -O2 "$samples/basic/greet.c" -o "$work/greet"
start "$work/greet"
await_target
ask Ada "Hello Ada, you are number 1"

expect_code 0 "$patchc" apply --diff "$samples/basic/patches/polite.patch" --to "$hosted_pid"
expect_match "the report names the function" greet "$output"
ask Grace "Good day, Grace! You are number 2"
expect_code 0 "$patchc" apply --diff "$samples/basic/patches/polite.patch" --to greet
ask Barbara "Good day, Barbara! You are number 3"
expect_code 0 "$mend" status greet
expect_match "status shows the patch" polite "$output"
expect_code 0 "$mend" ps
expect_match "ps shows the program" "$hosted_pid" "$output"

expect_code 0 "$mend" disable greet polite
expect_code 0 "$mend" disable greet polite
ask Alan "Hello Alan, you are number 4"
expect_code 0 "$mend" enable greet polite
ask Edsger "Good day, Edsger! You are number 5"

# The event log: the kernel's lines, in order, twice on and once off.
expect "livepatch lines" "$(cat <<'LINES'
livepatch: enabling patch 'polite'
livepatch: 'polite': initializing patching transition
livepatch: 'polite': starting patching transition
livepatch: 'polite': completing patching transition
livepatch: 'polite': patching complete
livepatch: 'polite': initializing unpatching transition
livepatch: 'polite': starting unpatching transition
livepatch: 'polite': completing unpatching transition
livepatch: 'polite': unpatching complete
LINES
)" "$(grep '^livepatch: ' "$work/events.log" | head -n 9)"

finish
