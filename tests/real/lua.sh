#!/usr/bin/env bash
# Debian's lua5.4, built by its own make: both of its fixes, alone and together, into an interpreter that
# sits at its prompt with state. lua.sh BUILD
. "$(dirname "$0")/lib.sh"

if prepare lua5.4 0; then
  make -C "$real/lua5.4/src" -j "${MEND_JOBS:-$(nproc)}" a lua CC="$patchc cc" \
    SYSCFLAGS=-DLUA_USE_LINUX SYSLIBS="-Wl,-E -ldl" >"$real/lua.log" 2>&1 ||
    { tail -n 30 "$real/lua.log"; fail "lua does not build"; }
  built lua5.4
fi
. "$here/../integration/lib.sh"
patches=$real/lua5.4/debian/patches
first=$patches/0004-cve-2022-28805.patch second=$patches/0005-cve-2022-33099.patch

cat >"$work/observe.lua" <<'LUA'
if not co then counter = 0; co = coroutine.wrap(function() while true do counter = counter + 1; coroutine.yield(counter) end end) end
local _, text = pcall(load("local _ENV <const> = 11; X = 'hi'"))
print("STATE " .. co() .. " " .. counter .. " " .. (tostring(text):find("number value") and "fixed" or "vulnerable"))
LUA
start "$real/lua5.4/src/lua" -i
await_target

turn=0
# observe VERDICT: the state goes on, and the answer is the fixed or the unfixed one.
observe() {
  turn=$((turn + 1))
  say "dofile('$work/observe.lua')"
  while hear; do case $answer in *STATE*) break ;; esac; done
  expect "state and verdict" "STATE $turn $turn $1" "$(grep -o 'STATE.*' <<<"$answer")"
}

# try_fix NAME VERDICT DIFF...: in and out again.
try_fix() {
  local name=$1 verdict=$2 diff
  local -a diffs=()
  shift 2
  for diff in "$@"; do diffs+=(--diff "$diff"); done
  expect_code 0 "$patchc" apply --to "$hosted_pid" --name "$name" "${diffs[@]}"
  echo "$output"
  observe "$verdict"
  expect_code 0 "$mend" disable "$hosted_pid" "$name"
  observe vulnerable
}
observe vulnerable
try_fix CVE-2022-28805 fixed "$first"
try_fix CVE-2022-33099 vulnerable "$second"
try_fix both fixed "$first" "$second"
say 'os.exit(0)'
code=0
wait "$hosted_pid" || code=$?
expect "the interpreter's exit code" 0 "$code"
echo "lua: both fixes in and out, alone and together"
