# patchc watch: every saved edit of a running program's sources goes live; what does not compile or is
# refused is shown and leaves the program as it was; the last one taken back, the program is as built.
. "$(dirname "$0")/lib.sh"

cp "$samples/basic/greet.c" "$work/greet.c"
(cd "$work" && "$patchc" cc -O2 greet.c -o greet)
original=$(cat "$work/greet.c")
start "$work/greet"
await_target

# Lines of the watch, one for each save; $round is the last one read.
round=
await_round() {
  read -r -t 60 round <&9 || fail "watch says nothing: $(cat "$work/watch.err")"
  expect_match "the round" "\"outcome\":\"$1\"" "$round"
}
# As editors save: a new file takes the old one's place.
save() {
  cat >"$work/greet.c.new"
  mv "$work/greet.c.new" "$work/greet.c"
}
edited() { sed "s/Hello/$1/" <<<"$original"; }

mkfifo "$work/rounds"
exec 9<>"$work/rounds"
"$patchc" watch --to "$hosted_pid" --json >"$work/rounds" 2>"$work/watch.err" 7>&- 8>&- 9>&- &
watch_pid=$!
started+=("$watch_pid")
await "patchc watch says that it watches" grep watching "$work/watch.err"
expect_match "what is watched" 'watching 1 source\(s\) of greet' "$(cat "$work/watch.err")"

ask Ada "Hello Ada, you are number 1"
edited Hi | save
await_round complete
ask Grace "Hi Grace, you are number 2"

# Written in place; from now on the headers are known.
edited Hoi >"$work/greet.c"
await_round complete
ask Barbara "Hoi Barbara, you are number 3"

# What does not compile is shown as Clang puts it.
edited Broken | sed 's/printf/prinft(/' | save
await_round refused
expect_match "the code" MEND-E "$round"
expect_match "Clang's message" 'greet.c:[0-9]+:[0-9]+: error' "$round"
ask Radia "Hoi Radia, you are number 4"

# So is what is refused.
sed 's/^static int greeted;/static int greeted = 7;/' <<<"$original" | save
await_round refused
expect_match "the code" MEND-E "$round"
ask Frances "Hoi Frances, you are number 5"

edited Salut | save
await_round complete
ask Jean "Salut Jean, you are number 6"
# The new patch took the older ones' place.
expect_code 0 "$mend" ls "$hosted_pid" livepatch
expect "patches" watch "$(sed 's/~.*//' <<<"$output" | sort -u)"
expect "number of patches" 1 "$(wc -l <<<"$output")"

# Back to what the program was built from.
save <<<"$original"
await_round disabled
ask Adele "Hello Adele, you are number 7"
edited Hej | save
await_round complete
ask Karen "Hej Karen, you are number 8"

# Ctrl-C ends watching; the patch stays.
kill -INT "$watch_pid"
expect_end "exit code after Ctrl-C" 0 "$watch_pid"
ask Lynn "Hej Lynn, you are number 9"

# A program whose sources have changed since takes them when watching begins. It is told, too, when
# the program ends.
edited Bonjour | save
(cd "$work" && exec "$patchc" watch greet.c --to "$hosted_pid" 7>&- 8>&- 9>&-) >"$work/text.log" \
  2>"$work/watch.err" &
watch_pid=$!
started+=("$watch_pid")
await "the patch is applied" grep 'applied to greet' "$work/text.log"
expect_match "the report" "patch 'watch(~[0-9]+)?' applied to greet" "$(cat "$work/text.log")"
ask Mary "Bonjour Mary, you are number 10"
finish
expect_end "exit code when the program has ended" 6 "$watch_pid"
expect_match "why" 'has ended' "$(cat "$work/watch.err")"

# Wrong operands.
expect_code 6 "$patchc" watch --to "$hosted_pid"
expect_code 2 "$patchc" watch
