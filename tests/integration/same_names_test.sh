# Sources of one name in several directories, each compiled there (recursive make, libtool): their statics
# have the same names too, and are each other's business in no patch.
. "$(dirname "$0")/lib.sh"
cd "$work"
mkdir -p one two

for part in one two; do
  cat >$part/Config.c <<SOURCE
static int count = $([ $part = one ] && echo 100 || echo 200);
static int only_in_$part = 7;
static const char* names[] = {"$part", "none"};
__attribute__((noinline)) static int step(void) { return only_in_$part - 6; }
__attribute__((noinline)) const char* ${part}_name(int index) { return names[index]; }
__attribute__((noinline)) int ${part}_next(void) {
  count += step();
  return count;
}
SOURCE
  (cd $part && "$patchc" cc -O2 -c Config.c -o Config.o)
done
cat >main.c <<'SOURCE'
#include <stdio.h>
int one_next(void);
int two_next(void);
const char* one_name(int);
const char* two_name(int);
int main(void) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    printf("%s %d %s %d\n", one_name(0), one_next(), two_name(0), two_next());
    fflush(stdout);
  }
}
SOURCE
"$patchc" cc -O2 main.c one/Config.o two/Config.o -o serve

start ./serve
ask go "one 101 two 201"
for part in two one; do
  mkdir "edited-$part"
  sed "s/count += step();/count += 10 * step() + only_in_$part - 7;/" $part/Config.c >"edited-$part/Config.c"
  diff -u --label a/$part/Config.c --label b/$part/Config.c $part/Config.c "edited-$part/Config.c" >$part.diff || true
done
expect_code 0 "$patchc" apply --diff two.diff --to "$hosted_pid"
ask go "one 102 two 211"
expect_code 0 "$patchc" apply --diff one.diff --to "$hosted_pid"
ask go "one 112 two 212"
expect_code 0 "$patchc" apply --diff one.diff --diff two.diff --name both --to "$hosted_pid"
ask go "one 122 two 222"
expect_code 0 "$mend" disable "$hosted_pid" both
ask go "one 123 two 223"
finish
