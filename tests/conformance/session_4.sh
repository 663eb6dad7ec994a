# The module comes and goes while the patch is applied.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

apply
want_patching
check_log
load "$work/$mod.so"
want_coming
check_log
unload $mod
want_going
check_log
disable
want_unpatching
check_log
remove
end_session
