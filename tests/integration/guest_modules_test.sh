# The hosted program opens, uses and closes guest modules by itself; patches reach them before anything
# of them runs; ordinary libraries are the native loader's.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh" "$1"

sources=$source_root/tests/integration/guest
"$patchc" cc -O2 "$sources/opener.c" -o "$work/opener"
"$patchc" c++ -O2 -shared "$sources/plugin.cc" -o "$work/plugin.so"
"$patchc" build -o "$work/plugin_patch.mendpatch" --explicit "$sources/plugin_patch.c" > "$work/build.log"

# For the outside it is a library like others.
expect_match "what it exports" " T plugin_call$" "$(nm -D "$work/plugin.so")"
expect_match "what it is" "guest module of 1 objects" "$("$patchc" inspect "$work/plugin.so")"
expect_code 1 "$patchc" cc "$sources/opener.c" "$work/plugin.so" -o "$work/linked"
expect_match "a link against it" "plugin.so: has a MEND_MODULE_INIT" "$output"

start "$work/opener"
hear
expect "first line" ready "$answer"
target=$hosted_pid
for round in 1 2; do
  ask "open $work/plugin.so" opened
  # 100 for the exception, 3, 7 of the program, 40 of the thread-local, 1 of cos.
  ask "call plugin_call" 151
  ask "call plugin_call" 152
  ask "call nothing_of_it" "undefined symbol: nothing_of_it"
  ask "close it" closed
done
expect "what the module logged" \
  "$(for round in 1 2; do printf 'plugin: %s\n' constructed init exit destroyed; done)" \
  "$(cat "$work/events.log")"
ask "global only_by_name" 41
ask "open libm.so.6" opened
ask "close it" closed
ask "open $work/missing.so" "$work/missing.so: cannot open shared object file: No such file or directory"

# The operator's and the program's loads are one module.
expect_code 0 "$mend" load "$target" "$work/plugin.so"
ask "open $work/plugin.so" opened
expect_code 3 "$mend" unload "$target" plugin
expect_match "unload of a module in use" "EBUSY" "$output"
ask "close it" closed
expect_code 0 "$mend" unload "$target" plugin

# A patch that is there before the module reaches it before its first call; it can refuse it.
expect_code 0 "$patchc" apply "$work/plugin_patch.mendpatch" --to "$target"
ask "open $work/plugin.so" opened
ask "call plugin_call" 3148
ask "close it" closed
expect_code 0 "$mend" set "$target" module/plugin_patch/parameters/answer -19
ask "open $work/plugin.so" "ENODEV: No such device (pre-patch callback failed for object 'plugin')"
expect_code 0 "$mend" set "$target" module/plugin_patch/parameters/answer 0
ask "open $work/plugin.so" opened
expect_code 0 "$mend" disable "$target" plugin_patch
ask "call plugin_call" 151
ask "close it" closed
finish
