# The program's pre_patch refuses: so does the patch.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

load "$work/$mod.so"
want <<< "$mod: ${mod}_init"
expect_code 3 "$patchc" apply "$work/$demo.mendpatch" --to host --param pre_patch_ret=-19
expect_match "the refusal" "ENODEV: No such device" "$output"
{
  echo "livepatch: enabling patch '$demo'"
  echo "livepatch: '$demo': initializing patching transition"
  callback pre_patch
  echo "livepatch: pre-patch callback failed for object 'host'"
  echo "livepatch: failed to enable patch '$demo'"
  echo "livepatch: '$demo': canceling patching transition, going to unpatch"
  echo "livepatch: '$demo': completing unpatching transition"
  echo "livepatch: '$demo': unpatching complete"
} | want
check_log
expect_code 0 "$mend" ls host livepatch
expect "patches after the refusal" "" "$output"
unload $mod
want <<< "$mod: ${mod}_exit"
end_session
