# What the tests of stacks that nobody registered share. Their program, serve.c, has `first` and `second`, whose
# versions must agree within a unit, answers "hold" and "release" by held.h, anything that it does not know by
# "FIRST SECOND", and all else by "done". Sourced after lib.sh, in the folder of serve.c.

cat >held.h <<'SOURCE'
/* A thread that stays in a function of the patch until told. */
static int held[2];
__attribute__((noinline)) int stay(void) {
  char byte;
  return (int)read(held[0], &byte, 1) + first() - second();
}
static void* hold(void* unused) {
  stay();
  return unused;
}
SOURCE

# make_fix: fix.patch, by which first() and second() return 2.
make_fix() {
  sed 's/first(void) { return 1; }/first(void) { return 2; }/; s/second(void) { return 1; }/second(void) { return 2; }/' \
    serve.c >edited.c
  diff -u serve.c edited.c >fix.patch || true
}

# build_fix: fix.mendpatch, for ./serve.
build_fix() {
  "$patchc" build --name fix --hold answer --hold stay -o fix.mendpatch --base serve --diff fix.patch >/dev/null
}

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
