# The module comes when the patch is there already, and goes after it.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

apply
want_patching
check_log
load "$work/$mod.so"
want_coming
check_log
disable
want_unpatching $mod
check_log
remove
unload $mod
want <<< "$mod: ${mod}_exit"
end_session
