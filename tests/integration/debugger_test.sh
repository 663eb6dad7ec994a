# mend run --debugger: gdb's breakpoints by name and by line, set before there is any hosted code, stop
# in the original and in the patched version; backtraces tell the two apart; locals, statics and
# `finish` are right in both; and no breakpoint is in the way of a patch.
. "$(dirname "$0")/lib.sh"

command -v gdb >/dev/null || { echo "skipped: gdb is not installed"; exit 77; }
gdb -nx -batch -ex run /bin/true 2>&1 | grep -q 'exited normally' ||
  { echo "skipped: gdb cannot run a program here"; exit 77; }

# gdb reads the symbols of everything first, which takes its time on a busy machine.
hear() { read -r -t 120 -u 8 answer || fail "no output from the program within 120 s"; }

# debug PROGRAM COMMANDS: the program under gdb, with its input at descriptor 7 and its output at 8.
debug() {
  rm -f "$work/in" "$work/out"
  mkfifo "$work/in" "$work/out"
  {
    printf 'set pagination off\nset confirm off\nset breakpoint pending on\n'
    # The signal that mend takes for itself (docs/hosting.md).
    printf 'handle SIG64 nostop noprint pass\n'
    printf '%s\n' "$2"
  } >"$work/commands"
  sed -i "s|^run\$|run <$work/in >$work/out|" "$work/commands"
  exec 7<>"$work/in" 8<>"$work/out"
  MEND_OPTIONS="--debugger --name debugged --log $work/events.log" \
    gdb -nx -batch -x "$work/commands" "$1" >"$work/gdb.log" 2>&1 </dev/null 7>&- 8>&- &
  hosted_pid=$!
  started+=("$hosted_pid")
}

# The program goes on without gdb (which does not always see a process with several threads to its
# end), to the end of its input.
finish_debugged() {
  wait "$hosted_pid" || fail "gdb ended with $?"
  exec 7>&- 8>&-
  await "the program has ended" no_target
}
no_target() { [ -z "$(ls "$XDG_RUNTIME_DIR/mend")" ]; }

# part NAME: what gdb said after `echo ==NAME`.
part() { awk -v name="==$1" '/^==/ { on = ($0 == name) } on' "$work/gdb.log"; }

apply() { expect_code 0 "$patchc" apply --diff "$1" --name "$2" --to debugged; }

# line FILE TEXT: the number of the line with that text.
line() { grep -nF -- "$2" "$1" | cut -d: -f1; }

# --- C, unoptimised ---
cat >"$work/names.c" <<'C'
#include <stdio.h>

__attribute__((noinline)) static int read_it(int* p) {
  static int reads;
  int local = *p * 2;
  reads++;
  return local + reads; /* the result */
}
__attribute__((noinline)) int reader(int* p) { return read_it(p) + 1; }

int main(void) {
  char text[64];
  static int number = 41, lines;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (lines++, fgets(text, sizeof text, stdin)) printf("%d\n", reader(&number));
}
C
sed 's|\*p \* 2|*p * 3|' "$work/names.c" >"$work/fixed.c"
(cd "$work" && "$patchc" cc -O0 -g names.c -o names && { diff -u names.c fixed.c >fix.patch || true; })
debug "$work/names" "break read_it
break names.c:$(line "$work/names.c" '/* the result */')
run
echo ==original\n
bt 3
continue
info locals
finish
continue
echo ==patched\n
bt 3
info symbol \$pc
continue
info locals
finish
info breakpoints
continue
echo ==back\n
bt 3
info breakpoints
detach"
ask a 84
apply "$work/fix.patch" fix
ask b 126
expect_code 0 "$mend" disable debugged fix
expect_code 0 "$mend" remove debugged fix
ask c 86
finish_debugged
said=$(part original)
expect_match "the original's frame" '^#0  read_it \(p=0x[0-9a-f]+.*\) at names.c:5' "$said"
expect_match "its callers" '^#2 .* main \(\) at names.c:15' "$said"
expect_match "its local" '^local = 82$' "$said"
expect_match "its static" '^reads = 1$' "$said"
expect_match "its result" '^Value returned is \$1 = 83$' "$said"
said=$(part patched)
expect_match "the patched frame" '^#0  read_it@fix \(p=0x[0-9a-f]+.*\) at names.c:5' "$said"
expect_match "the original caller" '^#1 .* reader \(p=0x[0-9a-f]+.*\) at names.c:9' "$said"
expect_match "the patched symbol" '^read_it@fix \+ [0-9]+ in section' "$said"
expect_match "the patched local" '^local = 123$' "$said"
expect_match "the program's static" '^reads = 2$' "$said"
expect_match "the patched result" '^Value returned is \$2 = 125$' "$said"
expect_match "a place in the original" '^1\.[12] .* in read_it at names.c:5' "$said"
expect_match "a place in the patched version" '^1\.[12] .* in read_it@fix at names.c:5' "$said"
expect_match "the line in the original" '^2\.[12] .* in read_it at names.c:7' "$said"
expect_match "the line in the patched version" '^2\.[12] .* in read_it@fix at names.c:7' "$said"
# The rest of the patch's object is not there a second time.
grep -qE '^[12]\.3' <<<"$said" && fail "a breakpoint has more places than versions: $said"
said=$(part back)
expect_match "the original again" '^#0  read_it \(p=0x[0-9a-f]+.*\) at names.c:5' "$said"
grep -q '@fix' <<<"$said" && fail "gdb still knows a version that was removed: $said"

# --- C++, optimised ---
cat >"$work/cart.cc" <<'C'
#include <cstdio>
namespace shop {
struct Cart {
  int items = 0;
  __attribute__((noinline)) int price(int each);
  __attribute__((noinline)) int price(double each) { return static_cast<int>(each) - items; }
};
__attribute__((noinline)) int Cart::price(int each) {
  static int calls;
  int total = items * each;
  calls += total > 0;  // counted
  return total + calls;
}
}  // namespace shop
int main() {
  char text[64];
  shop::Cart cart;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  while (fgets(text, sizeof text, stdin)) {
    cart.items++;
    int sum = cart.price(10);
    printf("%d\n", sum + cart.price(0.5 * cart.items) + cart.items);
  }
}
C
sed 's/total + calls/total + 1000 * calls/' "$work/cart.cc" >"$work/cart_fixed.cc"
(cd "$work" && "$patchc" c++ -O1 -g cart.cc -o cart && { diff -u cart.cc cart_fixed.cc >cart.patch || true; })
debug "$work/cart" "break shop::Cart::price(int)
break cart.cc:$(line "$work/cart.cc" '// counted')
run
echo ==original\n
bt 2
continue
info locals
finish
continue
echo ==patched\n
bt 2
continue
info locals
finish
info breakpoints
detach"
ask a 11
apply "$work/cart.patch" fix
ask b 2021
finish_debugged
said=$(part original)
expect_match "the original method" '^#0  shop::Cart::price \(this=.*each=10\) at cart.cc:10' "$said"
expect_match "its local" '^total = 10$' "$said"
expect_match "its result" '^Value returned is \$1 = 11$' "$said"
said=$(part patched)
expect_match "the patched method" '^#0  shop::Cart::price@fix\(int\) \(this=.*each=10\) at cart.cc:10' "$said"
expect_match "its local" '^total = 20$' "$said"
expect_match "the program's static" '^calls = 1$' "$said"
expect_match "its result" '^Value returned is \$2 = 2020$' "$said"
expect_match "the original's place" '^1\.[12] .* in shop::Cart::price\(int\) at cart.cc:10' "$said"
expect_match "the patch's place" '^1\.[12] .* in shop::Cart::price@fix\(int\) at cart.cc:10' "$said"

# --- a guest module, opened by dlopen: before there is any of it, original, patched ---
cat >"$work/part.c" <<'C'
__attribute__((noinline)) int part_read(int* p) {
  static int reads;
  int local = *p * 2;
  reads++;
  return local + reads; /* the module's result */
}
int part(int* p) { return part_read(p) + 1; }
C
cat >"$work/opener.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
  char text[64];
  int number = 41;
  int (*part)(int*) = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(text, sizeof text, stdin)) {
    if (part == NULL) part = (int (*)(int*))dlsym(dlopen("./part.so", RTLD_NOW), "part");
    printf("%d\n", part(&number));
  }
}
C
sed 's|\*p \* 2|*p * 3|' "$work/part.c" >"$work/part_fixed.c"
(cd "$work" && "$patchc" cc -O0 -g opener.c -o opener && "$patchc" cc -O0 -g -shared part.c -o part.so &&
  { diff -u part.c part_fixed.c >part.patch || true; })
debug "$work/opener" "cd $work
break part_read
break part.c:$(line "$work/part.c" "/* the module's result */")
run
echo ==module\n
bt 3
continue
info locals
finish
continue
echo ==patched module\n
bt 3
continue
info locals
finish
info breakpoints
detach"
ask a 84
apply "$work/part.patch" fix
ask b 126
finish_debugged
said=$(part module)
expect_match "the module's frame" '^#0  part_read \(p=0x[0-9a-f]+.*\) at part.c:3' "$said"
expect_match "its caller in the module" '^#1 .* part \(p=0x[0-9a-f]+.*\) at part.c:7' "$said"
expect_match "its caller in the program" '^#2 .* main \(\) at opener.c:10' "$said"
expect_match "its local" '^local = 82$' "$said"
expect_match "its static" '^reads = 1$' "$said"
expect_match "its result" '^Value returned is \$1 = 83$' "$said"
said=$(part 'patched module')
expect_match "the patched frame" '^#0  part_read@fix \(p=0x[0-9a-f]+.*\) at part.c:3' "$said"
expect_match "the module's caller" '^#1 .* part \(p=0x[0-9a-f]+.*\) at part.c:7' "$said"
expect_match "the patched local" '^local = 123$' "$said"
expect_match "the module's static" '^reads = 2$' "$said"
expect_match "the patched result" '^Value returned is \$2 = 125$' "$said"
expect_match "a place in the module" '^1\.[12] .* in part_read at part.c:3' "$said"
expect_match "a place in the patched version" '^1\.[12] .* in part_read@fix at part.c:3' "$said"

# --- without debug information: breakpoints by name, which must leave the entry alone ---
(cd "$work" && "$patchc" cc -O2 names.c -o plain)
sed 's|\*p \* 2|*p * 4|' "$work/names.c" >"$work/fixed.c"
(cd "$work" && { diff -u names.c fixed.c >again.patch || true; })
debug "$work/plain" "break read_it
run
echo ==original\n
bt 3
continue
echo ==patched\n
bt 3
continue
echo ==again\n
bt 3
continue
echo ==back\n
bt 3
detach"
ask a 84
apply "$work/fix.patch" fix
ask b 126
apply "$work/again.patch" again
ask c 168
expect_code 0 "$mend" disable debugged again
ask d 87
finish_debugged
expect_match "the original by symbol" '^#0 .* in read_it \(\)$' "$(part original)"
expect_match "its callers" '^#2 .* in main \(\)$' "$(part original)"
expect_match "the patch by symbol" '^#0 .* in read_it@fix \(\)$' "$(part patched)"
expect_match "the next patch" '^#0 .* in read_it@again \(\)$' "$(part again)"
expect_match "the original again" '^#0 .* in read_it \(\)$' "$(part back)"
echo ok
