# A patch module made ahead, against the program's file: applied where no compiler is needed; a damaged
# one is refused and changes nothing; an unchanged program says "no change".
. "$(dirname "$0")/lib.sh"

"$patchc" cc -O2 "$samples/basic/greet.c" -o "$work/greet"
expect_code 0 "$patchc" build -o "$work/none.mendpatch" --base "$work/greet" "$samples/basic/greet.c"
expect_match "an unchanged program" "no change" "$output"
expect_code 0 "$patchc" build -o "$work/polite.mendpatch" --base "$work/greet" \
  --diff "$samples/basic/patches/polite.patch"
[ -s "$work/polite.mendpatch" ] || fail "build wrote no module"

start "$work/greet"
await_target
ask Ada "Hello Ada, you are number 1"
head -c 300 "$work/polite.mendpatch" >"$work/cut.mendpatch"
expect_code 3 "$patchc" apply "$work/cut.mendpatch" --to "$hosted_pid"
tr '\000-\377' '\001-\377\000' <"$work/polite.mendpatch" >"$work/noise.mendpatch"
expect_code 3 "$patchc" apply "$work/noise.mendpatch" --to "$hosted_pid"
ask Ada "Hello Ada, you are number 2"
expect_code 0 "$patchc" apply "$work/polite.mendpatch" --to "$hosted_pid"
ask Ada "Good day, Ada! You are number 3"
expect_code 3 "$patchc" apply "$work/cut.mendpatch" --to "$hosted_pid"
ask Ada "Good day, Ada! You are number 4"
expect_code 6 "$patchc" apply "$work/polite.mendpatch" --to no-such-program
finish
