# The module is there before the patch, and goes while it is applied.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

load "$work/$mod.so"
want <<< "$mod: ${mod}_init"
apply
want_patching $mod
check_log
unload $mod
want_going
check_log
disable
want_unpatching
check_log
remove
end_session
