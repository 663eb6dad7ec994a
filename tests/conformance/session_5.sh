# The module never comes.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

apply
want_patching
check_log
disable
want_unpatching
check_log
remove
end_session
