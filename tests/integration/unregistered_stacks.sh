# What the tests of stacks that nobody registered share. Sourced after lib.sh, in the folder of serve.c.
. "$source_root/tests/integration/unit_versions.sh"

attribute=threads/unregistered_stack
# seen_is WHAT WANTED: the attribute.
seen_is() { expect "$1: $attribute" "$2" "$("$mend" get "$hosted_pid" $attribute)"; }

# holds_up_a_transition WHAT WHO: what "begin" leaves on its stack while a transition runs holds that up, which says
# so; force ends it.
holds_up_a_transition() {
  start ./serve
  await_target
  ask hold done
  expect_code 5 "$patchc" apply --timeout 0.1 --on-timeout wait fix.mendpatch --to "$hosted_pid"
  ask begin done
  ask release done
  expect_code 5 "$mend" wait "$hosted_pid" --timeout 0.5
  expect_match "$1: who holds it up" "$2" "$output"
  expect_code 0 "$mend" force "$hosted_pid" fix
  expect_code 0 "$mend" wait "$hosted_pid" --timeout 20
  ask values "2 2"
  expect_code 3 "$mend" disable "$hosted_pid" fix
  finish
}
