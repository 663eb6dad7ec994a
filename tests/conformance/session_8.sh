# Two modules; nothing holds the transition up.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

load "$work/$busymod.so" --param sleep_secs=0
{
  echo "$busymod: livepatch_callbacks_mod_init"
  echo "$busymod: busymod_work_func, sleeping 0 seconds ..."
  echo "$busymod: busymod_work_func exit"
} | want
check_log
apply
want_patching $busymod
check_log
load "$work/$mod.so"
want_coming
check_log
unload $mod
want_going
check_log
disable
want_unpatching $busymod
check_log
remove
unload $busymod
want <<< "$busymod: livepatch_callbacks_mod_exit"
end_session
