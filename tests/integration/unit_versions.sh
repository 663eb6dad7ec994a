# What tests share whose program, serve.c, has `first` and `second`, whose versions must agree within a unit, and
# answers "hold" and "release" by held.h, anything that it does not know by "FIRST SECOND", and all else by "done".
# Sourced after lib.sh, in the folder of serve.c.

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

# build_fix FUNCTION: fix.mendpatch, for ./serve, whose units are those of stay() and FUNCTION.
build_fix() {
  "$patchc" build --name fix --hold "$1" --hold stay -o fix.mendpatch --base serve --diff fix.patch >/dev/null
}
