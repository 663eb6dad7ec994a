# The module is there before the patch, and goes after it.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

load "$work/$mod.so"
want <<< "$mod: ${mod}_init"
check_log
apply
want_patching $mod
check_log
disable
want_unpatching $mod
check_log
remove
check_log
unload $mod
want <<< "$mod: ${mod}_exit"
end_session
