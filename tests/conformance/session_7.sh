# A coming module's pre_patch refuses: so does the load, and the patch stays.
source "$(dirname -- "${BASH_SOURCE[0]}")/sessions.sh" "$1"

apply
want_patching
check_log
expect_code 0 "$mend" set host module/$demo/parameters/pre_patch_ret -19
expect_code 0 "$mend" get host module/$demo/parameters/pre_patch_ret
expect "the parameter" -19 "$output"
expect_code 3 "$mend" load host "$work/$mod.so"
expect_match "the refusal" "ENODEV: No such device" "$output"
{
  echo "livepatch: applying patch '$demo' to loading module '$mod'"
  callback pre_patch $mod "$coming"
  echo "livepatch: pre-patch callback failed for object '$mod'"
  echo "livepatch: patch '$demo' failed for module '$mod', refusing to load module '$mod'"
} | want
check_log
expect_code 0 "$mend" get host livepatch/$demo/enabled
expect "the patch" 1 "$output"
disable
want_unpatching
check_log
remove
end_session
