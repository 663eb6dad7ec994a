# A thread stands in a function that is to be patched: the module comes and goes in mid-transition, and
# disabling reverses it.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

load "$work/$busymod.so" --param sleep_secs=30
{
  echo "$busymod: livepatch_callbacks_mod_init"
  echo "$busymod: busymod_work_func, sleeping 30 seconds ..."
} | want
check_log
expect_code 5 "$patchc" apply "$work/$demo.mendpatch" --to host --no-wait
{
  echo "livepatch: enabling patch '$demo'"
  echo "livepatch: '$demo': initializing patching transition"
  callback pre_patch
  callback pre_patch $busymod "$live"
  echo "livepatch: '$demo': starting patching transition"
} | want
check_log
expect_code 0 "$mend" get host livepatch/$demo/transition
expect "in transition" 1 "$output"
load "$work/$mod.so"
{
  echo "livepatch: applying patch '$demo' to loading module '$mod'"
  callback pre_patch $mod "$coming"
  echo "$mod: ${mod}_init"
} | want
check_log
unload $mod
{
  echo "$mod: ${mod}_exit"
  echo "livepatch: reverting patch '$demo' on unloading module '$mod'"
  callback post_unpatch $mod "$going"
} | want
check_log
disable
{
  echo "livepatch: '$demo': reversing transition from patching to unpatching"
  echo "livepatch: '$demo': starting unpatching transition"
  echo "livepatch: '$demo': completing unpatching transition"
  callback post_unpatch
  callback post_unpatch $busymod "$live"
  echo "livepatch: '$demo': unpatching complete"
} | want
check_log
remove
unload $busymod
{
  echo "$busymod: busymod_work_func exit"
  echo "$busymod: livepatch_callbacks_mod_exit"
} | want
end_session
