# Refusals by `patchc check`, each by its code and with what it names; those that need a running program
# are in refusals_test.sh, those of the comparison alone in tests/patchc.
. "$(dirname "$0")/lib.sh"
cd "$work"

# program NAME LANGUAGE: compiles standard input to ./NAME, from NAME.c or NAME.cc.
program() {
  local suffix=c language=cc
  if [ "$2" = c++ ]; then suffix=cc language=c++; fi
  cat >"$1.$suffix"
  "$patchc" "$language" -O2 "$1.$suffix" -o "$1"
}
# refuse CODE PATTERN ARGUMENTS...: `patchc check` with them is refused so, and the code explains itself.
refuse() {
  local code=$1 pattern=$2
  shift 2
  expect_code 3 "$patchc" check "$@"
  expect_match "'check $*'" "MEND-E$code" "$output"
  expect_match "the reason of MEND-E$code" "$pattern" "$output"
  expect_match "the way out of MEND-E$code" 'way out: ' "$output"
  expect_code 0 "$patchc" explain "MEND-E$code"
}

program vtable c++ <<'SOURCE'
struct Shape {
  virtual ~Shape() {}
  virtual int Area() { return 1; }
};
Shape* volatile shape;
int main() { shape = new Shape; return shape->Area() - 1; }
SOURCE
sed -i 's/  virtual int Area/  virtual int Corners() { return 4; }\n&/' vtable.cc
refuse 0102 Shape --base vtable vtable.cc

program kind c <<'SOURCE'
int table[2] = {1, 2};
__attribute__((noinline)) int at(int i) { return table[i]; }
int main(int argc, char** argv) { return at(argc) - 2; }
SOURCE
sed -i 's/^int table/const int table/' kind.c
refuse 0113 "variable 'table'" --base kind kind.c

program labels c <<'SOURCE'
int run(const unsigned char* code) {
  static void* labels[] = {&&add, &&stop};
  int sum = 0;
  goto *labels[*code];
add:
  sum += 3;
  goto *labels[*++code];
stop:
  labels[0] = labels[0];
  return sum;
}
int main(void) { return run((const unsigned char*)"\0\0\1") - 6; }
SOURCE
sed -i 's/sum += 3/sum += 4/' labels.c
refuse 0116 labels --base labels labels.c

program twins c <<'SOURCE'
__attribute__((noinline)) int count(int which) {
  if (which) { static int n; return ++n; }
  static int n;
  return n += 2;
}
int main(int argc, char** argv) { return count(argc) + count(0) - 3; }
SOURCE
sed -i 's/^  if/  if (which == 7) { static int n; return --n; }\n&/' twins.c
refuse 0117 'count\.n' --base twins twins.c

program range c <<'SOURCE'
static struct { int low; int high; } range;
__attribute__((noinline)) int span(void) { return range.high - range.low; }
int main(int argc, char** argv) { range.high = argc; return span() - 1; }
SOURCE
sed -i 's/int low; int high;/int high; int low;/' range.c
refuse 0118 "variable 'range': member 'high' moved from offset 4 to 0" --base range range.c

program naked c <<'SOURCE'
__attribute__((naked, noinline)) int three(void) { __asm__("movl $3, %eax\n ret"); }
int main(void) { return three() - 3; }
SOURCE
sed -i 's/movl \$3/movl $4/' naked.c
refuse 0121 three --base naked naked.c

# Of what the program was built from.
program gone c <<'SOURCE'
int main(void) { return 0; }
SOURCE
"$patchc" strip gone
mkdir edited
sed 's/return 0/return 2/' gone.c >edited/gone.c
# The file that it was built from is still there.
expect_code 0 "$patchc" check --base gone edited/gone.c
echo '/* not the same file any more */ int main(void) { return 1; }' >gone.c
refuse 0003 gone.c --base gone gone.c
refuse 0004 /bin/true --base /bin/true gone.c

mkdir one two elsewhere
echo 'int f(void) { return 0; }' >one/unit.c
echo 'int f(void); int main(void) { return f(); }' >two/unit.c
"$patchc" cc -c one/unit.c -o one.o
"$patchc" cc one.o two/unit.c -o both
cp one/unit.c elsewhere/unit.c
refuse 0008 one/unit.c --base both elsewhere/unit.c

echo 'int g(void) { return 0; }' >foreign.c
clang-22 -fPIE -c foreign.c
echo 'int g(void); int main(void) { return g(); }' >main.c
"$patchc" cc main.c foreign.o -o mixed
refuse 0009 foreign.o --base mixed foreign.c
printf -- '--- a/foreign.c\n+++ b/foreign.c\n@@ -1 +1 @@\n-int g(void) { return 0; }\n+int g(void) { return 1; }\n' \
  >foreign.patch
refuse 0007 'foreign.o may be' --base mixed --diff foreign.patch

# What a module has fixed.
echo 'int f(void) { return 2; }' >one/unit.c
"$patchc" build -o unit.mendpatch --base both one/unit.c >/dev/null
expect_code 3 "$patchc" apply unit.mendpatch --name other --to nobody
expect_match "an option that is fixed in the module" "MEND-E0130: .* is a module already: Name, .*--hold" "$output"

# A guest module's init function has run, or never will.
program declared c <<'SOURCE'
#include <mend/livepatch.h>
__attribute__((noinline)) int one(void) { return 1; }
int main(void) { return one() - 1; }
SOURCE
sed -i 's/return 1;/return 2;/' declared.c
echo 'static int start(void) { return 0; } MEND_MODULE_INIT(start);' >>declared.c
refuse 0134 '__mend_module_init' --base declared declared.c

# A static that the edit makes global, for another unit.
echo '__attribute__((noinline)) static int own(void) { return 0; } int used(void) { return own(); }' >own.c
echo 'int used(void); int main(void) { return used(); }' >other.c
"$patchc" cc -O2 own.c other.c -o owned
sed -i 's/static //' own.c
echo 'int own(void); int used(void); int main(void) { return used() + own(); }' >other.c
refuse 0125 "refers to 'own', which is a static of own.c" --base owned own.c other.c

# Explicit patches.
refuse_explicit() {
  expect_code 3 "$patchc" build -o explicit.mendpatch --explicit "$3"
  expect_match "what 'build --explicit $3' says" "MEND-E$1: .*$2" "$output"
  expect_match "the way out of MEND-E$1" 'way out: ' "$output"
  [ ! -e explicit.mendpatch ] || fail "a module of $3 is written"
}
echo 'int broken(void) { return missing; }' >broken.c
refuse_explicit 0132 'broken.c does not compile' broken.c
expect_match "Clang's own words" "undeclared identifier 'missing'" "$output"
printf 'no object' >damaged.o
refuse_explicit 0133 damaged.o damaged.o
echo 'int plain(void) { return 1; }' >plain.c
refuse_explicit 0135 "patch 'plain' has no MEND_LIVEPATCH" plain.c
"$patchc" cc -c plain.c
refuse_explicit 0135 MEND_LIVEPATCH plain.o

# By the target.
program loop c <<'SOURCE'
#include <stdio.h>
__attribute__((noinline)) int step(char *line, int size) { return fgets(line, size, stdin) != 0; }
int main(void) {
  char line[8];
  while (step(line, sizeof line)) puts("again");
  return 0;
}
SOURCE
cp loop.c original.c
sed -i 's/!= 0;/== line;/' loop.c
"$patchc" build -o loop.mendpatch --base loop loop.c >/dev/null
head -c 200 loop.mendpatch >cut.mendpatch
sed 's/again/twice/' original.c >loop.c
"$patchc" build -o later.mendpatch --base loop loop.c >/dev/null
start ./loop
await_target
expect_code 3 "$patchc" apply cut.mendpatch --to "$hosted_pid"
expect_match "a module that is cut off" 'MEND-E0141: not a usable patch module' "$output"
expect_code 3 "$patchc" apply unit.mendpatch --to "$hosted_pid"
expect_match "another program's module" 'MEND-E0142: .*one/unit.c' "$output"
# It waits for input within the function.
expect_code 5 "$patchc" apply loop.mendpatch --to "$hosted_pid" --no-wait
expect_code 3 "$patchc" apply later.mendpatch --to "$hosted_pid"
expect_match "a second transition" "EBUSY: .*MEND-E0143: patch 'loop' is in transition" "$output"
expect_match "the way out of MEND-E0143" 'way out: .*mend threads' "$output"

# What is fine as far as can be seen, and said to the author.
program kept c <<'SOURCE'
static const int limits[2] = {1, 2};
static const int *limit;
static int (*handler)(void);
__attribute__((noinline)) static int first(void) { return limit[0]; }
__attribute__((noinline)) static void start(void) { limit = limits; handler = first; }
int main(void) { start(); return handler() - 1; }
SOURCE
sed -i 's/{1, 2}/{3, 2}/' kept.c
expect_code 0 "$patchc" check --base kept kept.c
expect_match "a constant whose address is kept" "constant 'limits' changed, whose address 'start' hands on" "$output"
sed -i 's/{3, 2}/{1, 2}/; s/first/second/' kept.c
expect_code 0 "$patchc" check --base kept kept.c
expect_match "a function that is gone" "'first' is gone, and called by address" "$output"

# Each code is shown by a test: by its number, or by its name in patchc.
for code in $("$patchc" explain --json | grep -oE 'MEND-E[0-9]{4}' | sort -u); do
  name=$(sed -nE "s/^MEND_REFUSAL\($((10#${code#MEND-E})), ([A-Za-z]+),.*/\1/p" "$source_root/patchc/support/refusals.def")
  grep -rqE "$code|refuse(_[a-z]+)? ${code#MEND-E}|RefusalCode::k$name\b" "$source_root/tests" ||
    fail "no test shows $code ($name)"
done
