# What the nine worked sessions share (samples/callbacks has their program, modules and patch): each
# drives the real mend and patchc, says which lines every step is to log, and compares the whole log,
# line by line, with all of them. Sourced with the build directory as $1.
source "$(dirname -- "${BASH_SOURCE[0]}")/../integration/lib.sh" "$1"

sources=$samples/callbacks
log=$work/host.events
expected=$work/expected
demo=livepatch_callbacks_demo
mod=livepatch_callbacks_mod
busymod=livepatch_callbacks_busymod
live='[MODULE_STATE_LIVE] Normal state'
coming='[MODULE_STATE_COMING] Full formed, running module_init'
going='[MODULE_STATE_GOING] Going away'

"$patchc" cc -O2 "$sources/host.c" -o "$work/host"
for module in $mod $busymod; do
  "$patchc" cc -O2 -shared "$sources/$module.c" -o "$work/$module.so" -pthread
done
"$patchc" build -o "$work/$demo.mendpatch" --explicit "$sources/$demo.c" -- -O2 > "$work/build.log"

touch "$log" "$expected"
launch "$mend" run --name host --log "$log" "$work/host"
hear
expect "the program's first line" ready "$answer"

# Lines that are to be in the log, from standard input.
want() { cat >> "$expected"; }

# The log holds exactly what was wanted so far.
check_log() { log_becomes "$log" "$expected" 200; }

load() { expect_code 0 "$mend" load host "$@"; }
unload() { expect_code 0 "$mend" unload host "$1"; }
apply() { expect_code 0 "$patchc" apply "$work/$demo.mendpatch" --to host "$@"; }
# As by hand: the write returns when the transition has started.
disable() {
  expect_code 0 "$mend" set host livepatch/$demo/enabled 0
  expect "what set prints" "" "$output"
  expect_code 0 "$mend" wait host --timeout 20
}
remove() { expect_code 0 "$mend" remove host "$demo"; }

# The lines of a callback: callback NAME [OBJECT STATE]; without an object it is the program's.
callback() {
  if [ $# -eq 1 ]; then
    echo "$demo: $1_callback: host"
  else
    echo "$demo: $1_callback: $2 -> $3"
  fi
}

# Patching and unpatching when the program and the given module (if any) are there.
want_patching() {
  {
    echo "livepatch: enabling patch '$demo'"
    echo "livepatch: '$demo': initializing patching transition"
    callback pre_patch
    [ -z "${1:-}" ] || callback pre_patch "$1" "$live"
    echo "livepatch: '$demo': starting patching transition"
    echo "livepatch: '$demo': completing patching transition"
    callback post_patch
    [ -z "${1:-}" ] || callback post_patch "$1" "$live"
    echo "livepatch: '$demo': patching complete"
  } | want
}
want_unpatching() {
  {
    echo "livepatch: '$demo': initializing unpatching transition"
    callback pre_unpatch
    [ -z "${1:-}" ] || callback pre_unpatch "$1" "$live"
    echo "livepatch: '$demo': starting unpatching transition"
    echo "livepatch: '$demo': completing unpatching transition"
    callback post_unpatch
    [ -z "${1:-}" ] || callback post_unpatch "$1" "$live"
    echo "livepatch: '$demo': unpatching complete"
  } | want
}
# The module $mod coming to, and going from, a process that runs the patch.
want_coming() {
  {
    echo "livepatch: applying patch '$demo' to loading module '$mod'"
    callback pre_patch $mod "$coming"
    callback post_patch $mod "$coming"
    echo "$mod: ${mod}_init"
  } | want
}
want_going() {
  {
    echo "$mod: ${mod}_exit"
    callback pre_unpatch $mod "$going"
    echo "livepatch: reverting patch '$demo' on unloading module '$mod'"
    callback post_unpatch $mod "$going"
  } | want
}

end_session() {
  check_log
  finish
  check_log
}
