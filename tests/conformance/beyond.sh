# What goes beyond the kernel, as an operator meets it, with the real mend and patchc and a program that
# is held up in the code that a patch replaces: dry runs, policies, replace sets, generations, revert, and
# the attribute tree over HTTP. The whole log is compared, line by line.
poke=15
source "$(dirname -- "${BASH_SOURCE[0]}")/serve.sh" "$1"

apply() { expect_code 0 "$patchc" apply "$work/$1.mendpatch" --to serve "${@:2}"; }
# want_patching NAME, want_unpatching NAME: the lines of a transition that nothing holds up.
want_patching() {
  logged <<END
enabling patch '$1'
'$1': initializing patching transition
'$1': starting patching transition
'$1': completing patching transition
'$1': patching complete
END
}
want_unpatching() {
  logged <<END
'$1': initializing unpatching transition
'$1': starting unpatching transition
'$1': completing unpatching transition
'$1': unpatching complete
END
}
# The same of one that is turned round in the middle.
want_patching_reversed() {
  logged <<END
enabling patch '$1'
'$1': initializing patching transition
'$1': starting patching transition
'$1': reversing transition from patching to unpatching
'$1': starting unpatching transition
'$1': completing unpatching transition
'$1': unpatching complete
END
}
want_unpatching_reversed() {
  logged <<END
'$1': initializing unpatching transition
'$1': starting unpatching transition
'$1': reversing transition from unpatching to patching
'$1': starting patching transition
'$1': completing patching transition
'$1': patching complete
END
}
nothing_happened() {
  logged </dev/null
  expect "patches" "" "$("$mend" ls serve livepatch)"
  expect "modules" "" "$("$mend" ls serve module)"
  value "threads/$hosted_pid/patch_state" -1
}

# --- a dry run asks the live process, and touches nothing ---

apply fix --dry-run
expect_match "what it says" "patch 'fix' could be applied to serve" "$output"
expect_match "what would change" "replaced +version" "$output"
grep -q "waits for" <<<"$output" && fail "nobody is in the way: $output"
nothing_happened
ask stay "in 1"
apply fix --dry-run
expect_match "who is in the way" "waits for +thread $hosted_pid 'serve' in stay, for at least [0-9.]+ m?s" "$output"
apply fix --dry-run --json
expect_match "as JSON" '"outcome":"dry_run"' "$output"
expect_match "its place" "\"tid\":\"$hosted_pid\".*\"function\":\"stay\"" "$output"
expect_match "since when" '"since_ns":[1-9]' "$output"
refused EINVAL "$patchc" apply "$work/fix.mendpatch" --to serve --dry-run --param nothing=1
nothing_happened
# Asleep in its call all the while, which nothing has interrupted.
ask go "out 1"
ask go "1 1"

# --- what happens at the deadline ---

ask stay "in 1"
expect_code 4 "$patchc" apply "$work/fix.mendpatch" --to serve --timeout 0.3
expect_match "who held it up" "waits for +thread $hosted_pid 'serve' in stay, for at least" "$output"
want_patching_reversed fix
value module/fix/refcnt 0
expect_code 5 "$mend" enable serve fix --timeout 0.3 --on-timeout wait
value livepatch/fix/transition 1
# Who asks the same again waits for what goes on.
expect_code 5 "$patchc" apply "$work/fix.mendpatch" --to serve --timeout 0.1 --on-timeout wait
refused EBUSY "$patchc" apply "$work/other.mendpatch" --to serve --dry-run
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to serve --timeout 0.3 --on-timeout force
expect_match "how it ended" "switched +1 forced" "$output"
expect_match "what that means" "^patchc: warning: 1 thread was switched by force" "$output"
logged <<'END'
enabling patch 'fix'
'fix': initializing patching transition
'fix': starting patching transition
forcing remaining tasks to the patched state
'fix': completing patching transition
'fix': patching complete
END
ask go "out 2"
# The same on the way out, by the verb.
ask stay "In 2"
expect_code 4 "$mend" disable serve fix --timeout 0.3
value livepatch/fix/enabled 1
want_unpatching_reversed fix
# Applied again on its way out it stays.
expect_code 5 "$mend" disable serve fix --no-wait
apply fix
want_unpatching_reversed fix
ask go "out 2"
expect_code 0 "$mend" disable serve fix
want_unpatching fix
expect_code 0 "$mend" remove serve fix

# --- replace sets ---

mkdir "$work/both" "$work/probe"
sed 's/return 1;/return 4;/' "$work/serve.c" >"$work/both/serve.c"
sed '/int second/s/return 1;/return 5;/' "$work/serve.c" >"$work/probe/serve.c"
build_patch one --name one "$work/fix/serve.c"
build_patch both --name both "$work/both/serve.c"
build_patch probe --name probe --set debug "$work/probe/serve.c"
apply probe
want_patching probe
value livepatch/probe/replace_set debug
apply one
want_patching one
ask go "2 5"
value livepatch/one/replace_set ""
value livepatch/probe/stack_order 1
value livepatch/one/stack_order 2
# What another set has is refused, dry or not, and changes nothing.
for way in "" --dry-run; do
  refused EINVAL "$patchc" apply "$work/both.mendpatch" --to serve $way
  expect_match "whose it is" "function 'second' belongs to patch 'probe' of set 'debug'" "$output"
done
expect_code 0 "$mend" disable serve probe
want_unpatching probe
apply both
want_patching both
ask go "4 4"
expect "the replaced one is gone" both "$("$mend" ls serve livepatch)"
refused EINVAL "$mend" enable serve probe
expect_match "whose it is" "function 'second' belongs to patch 'both' of the usual set" "$output"
ask go "4 4"

# --- revert brings back exactly what was active before the last apply, in one transition ---

expect_code 0 "$mend" revert serve
want_unpatching both
ask go "2 1"
expect "what is active" one "$("$mend" ls serve livepatch)"
value livepatch/one/enabled 1
expect_code 0 "$mend" revert serve
want_unpatching one
ask go "1 1"
refused ENOENT "$mend" revert serve
# In its own transition it reverses; the patch that it would have replaced has never gone.
apply one
want_patching one
ask stay "In 2"
expect_code 5 "$patchc" apply "$work/both.mendpatch" --to serve --no-wait
expect_code 0 "$mend" revert serve
want_patching_reversed both
ask go "out 2"
ask go "2 1"
# What was removed cannot come back.
apply both
want_patching both
expect_code 0 "$mend" remove serve one
refused ENOENT "$mend" revert serve
expect_match "which one" "patch 'one', which 'both' replaced, was removed" "$output"
expect_code 0 "$mend" disable serve both
want_unpatching both

# --- generations: a bare name means the newest one ---

build_patch generation_1 --name gen --no-replace "$work/fix/serve.c"
build_patch generation_2 --name gen --no-replace "$work/other/serve.c"
apply generation_1
want_patching gen
apply generation_2
want_patching gen~2
expect_code 0 "$patchc" apply "$work/generation_2.mendpatch" --to serve
expect_match "the same again" "patch 'gen~2' is applied .* already" "$output"
ask go "2 2"
value livepatch/gen/stack_order 2
value livepatch/gen~1/stack_order 1
expect_code 0 "$mend" set serve livepatch/gen~1/enabled 0
expect_code 0 "$mend" wait serve
want_unpatching gen
ask go "1 2"
value livepatch/gen/enabled 1
value module/gen/refcnt 1
value module/gen~1/refcnt 0
refused EBUSY "$mend" remove serve gen
expect_code 0 "$mend" remove serve gen~1
expect_code 0 "$mend" disable serve gen
want_unpatching gen~2
expect_code 0 "$mend" remove serve gen

# --- the attribute tree: kinds, directions and values that are wrong ---

apply one
want_patching one
refused EINVAL "$mend" set serve livepatch/one/enabled 1
refused EINVAL "$mend" set serve livepatch/one/enabled 2
refused EINVAL "$mend" set serve livepatch/one/enabled ""
refused EINVAL "$mend" set serve livepatch/one/force 1
refused EINVAL "$mend" set serve livepatch/one/force perhaps
refused EACCES "$mend" get serve livepatch/one/force
for name in transition replace replace_set stack_order serve/patched; do
  refused EACCES "$mend" set serve livepatch/one/$name 1
done
refused EACCES "$mend" set serve "threads/$hosted_pid/patch_state" 1
refused EACCES "$mend" set serve module/one/refcnt 0
refused ENOENT "$mend" get serve livepatch/one/nothing
refused ENOENT "$mend" get serve livepatch/none/enabled
refused ENOENT "$mend" ls serve livepatch/one/serve/none,1
refused EISDIR "$mend" get serve livepatch/one
refused EISDIR "$mend" set serve livepatch/one/serve 1
refused ENOTDIR "$mend" ls serve livepatch/one/enabled
expect_code 0 "$mend" ls serve livepatch/one/serve
expect "its functions" $'patched\nstay,1\nversion,1' "$(sort <<<"$output")"
expect_code 0 "$mend" ls serve livepatch/one/serve/version,1
expect "a folder without files" "" "$output"
if command -v curl >/dev/null; then
  socket=$XDG_RUNTIME_DIR/mend/$hosted_pid.sock
  # answers METHOD PATH DATA STATUS BODY
  answers() {
    local got
    got=$(curl -s --unix-socket "$socket" -X "$1" ${3:+--data-binary "$3"} -w '%{http_code}' "http://mend$2")
    expect "$1 $2" "$5$4" "$got"
  }
  answers GET /livepatch/one/enabled "" 200 $'1\n'
  answers GET /livepatch/ "" 200 $'one\n'
  answers GET /livepatch/one/stack_order "" 200 $'1\n'
  answers GET "/threads/$hosted_pid/patch_state" "" 200 $'-1\n'
  answers PUT /livepatch/one/enabled $'0\n' 204 ""
  expect_code 0 "$mend" wait serve
  want_unpatching one
  expect_match "an error over HTTP" '"errno":"ENOENT".*"exit_code":3' \
    "$(curl -s --unix-socket "$socket" http://mend/livepatch/one/enabled)"
  expect_match "a patch over HTTP" '"outcome":"complete"' \
    "$(curl -s --unix-socket "$socket" --data-binary "@$work/one.mendpatch" http://mend/patches)"
  want_patching one
  expect_match "events over HTTP" '"kind":"transition_complete","patch":"one"' \
    "$(curl -s --unix-socket "$socket" http://mend/events)"
fi
expect_code 0 "$mend" disable serve one
want_unpatching one
ask go "1 1"
finish
logged </dev/null
