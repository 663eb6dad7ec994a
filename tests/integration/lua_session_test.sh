# The main job on a real program: Debian's Lua 5.4, built by its own Makefile, sits blocked at its
# prompt with a counter and a suspended coroutine; the fix of CVE-2022-28805 goes in from Debian's own
# patch file, and out again, without any input; the state survives.
. "$(dirname "$0")/lib.sh"

"$source_root/tests/integration/fetch_source.sh" lua5.4 "$work/lua" || exit $?
make -s -C "$work/lua/src" -j 2 a lua CC="$patchc cc" SYSCFLAGS=-DLUA_USE_LINUX \
  SYSLIBS="-Wl,-E -ldl" >"$work/make.log" 2>&1

cat >"$work/observe.lua" <<'LUA'
if not co then counter = 0; co = coroutine.wrap(function() while true do counter = counter + 1; coroutine.yield(counter) end end) end
print("STATE", co(), counter)
print("28805", pcall(load("local _ENV <const> = 11; X = 'hi'")))
LUA

start "$work/lua/src/lua" -i
await_target

# observe COUNT: the state has been advanced COUNT times. $answer is then what the interpreter makes of
# the fixed bug: unfixed code indexes whatever a register happens to hold, so its text is not known
# beforehand, only that it is not the fix's.
observe() {
  say "dofile('$work/observe.lua')"
  local tries
  for tries in 1 2 3 4 5 6; do
    hear
    case $answer in *STATE*) break ;; esac
  done
  expect "state" "STATE $1 $1" "$(grep -o 'STATE.*' <<<"$answer" | tr '\t' ' ')"
  hear
  expect_match "the line about the bug" 28805 "$answer"
}

fixed="attempt to index a number value"
observe 1
unfixed_answer=$answer
case $answer in *"$fixed"*) fail "the source has the fix already" ;; esac
observe 2
expect "unfixed answers are alike" "$unfixed_answer" "$answer"
await "the interpreter is at its prompt" says "blocked in" "$mend" threads "$hosted_pid"
expect_code 0 "$patchc" apply --json --diff "$work/lua/debian/patches/0004-cve-2022-28805.patch" \
  --to "$hosted_pid" --name cve-2022-28805
expect_match "outcome" '"outcome": ?"complete"' "$output"
expect_match "how its thread switched" '"blocked": ?1[,}]' "$output"
observe 3
expect_match "the fix answers" "$fixed" "$answer"
expect_code 0 "$mend" disable "$hosted_pid" cve-2022-28805
observe 4
expect "the unfixed answer is back" "$unfixed_answer" "$answer"
finish
