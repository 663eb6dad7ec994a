# A core dump of a hosted program (mend run --debugger) holds the symbols of its hosted code: gdb needs
# nothing but the executable and the core to show the patched function that died, its callers and its
# variables.
. "$(dirname "$0")/lib.sh"

skip() { echo "skipped: $*"; exit 77; }
command -v gdb >/dev/null || skip "gdb is not installed"
pattern=$(cat /proc/sys/kernel/core_pattern)
case $pattern in
  '' | '|'* | */*) skip "core dumps go elsewhere here (core_pattern is '$pattern')" ;;
esac
# AddressSanitizer would turn them off.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:disable_coredump=0"
ulimit -c unlimited 2>/dev/null || skip "core dumps are not allowed here"

cat >"$work/crash.c" <<'C'
#include <stdio.h>

struct node { int value; struct node* next; };
static int visits;

__attribute__((noinline)) static int follow(struct node* at) {
  int limit = 7;
  visits++;
  return at->value + limit; /* here */
}
__attribute__((noinline)) int walk(struct node* first) { return follow(first->next) + 1; }

int main(void) {
  char text[64];
  static struct node last = {3, NULL}, first = {1, &last};
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(text, sizeof text, stdin)) printf("%d\n", walk(text[0] == 'c' ? &last : &first));
}
C
sed 's/limit = 7/limit = 9/' "$work/crash.c" >"$work/fixed.c"
cd "$work"
"$patchc" cc -O0 -g crash.c -o crash
diff -u crash.c fixed.c >fix.patch || true

start "$mend" run --debugger --log "$work/events.log" ./crash
ask a 11
expect_code 0 "$patchc" apply --diff fix.patch --name fix --to "$hosted_pid"
ask a 13
say c
expect_end "death by SIGSEGV" 139
core=$(ls "$work"/core* 2>/dev/null | head -n 1) || true
[ -s "$core" ] || fail "there is no core dump: $(ls "$work")"

said=$(gdb -nx -batch -ex 'set pagination off' -ex 'bt 3' -ex 'info locals' -ex 'print visits' \
  -ex 'frame 2' -ex 'print last' -ex 'info symbol walk' "$work/crash" "$core" 2>&1)
expect_match "the patched function" '^#0 .* in follow@fix \(at=0x0\) at crash.c:9' "$said"
expect_match "its caller" '^#1 .* in walk \(first=0x[0-9a-f]+.*\) at crash.c:11' "$said"
expect_match "its caller's caller" '^#2 .* in main \(\) at crash.c:17' "$said"
expect_match "the new version's local" '^limit = 9$' "$said"
expect_match "the program's static" '^\$1 = 3$' "$said"
expect_match "a local static" '^\$2 = \{value = 3, next = 0x0\}$' "$said"
expect_match "a symbol" '^walk in section ' "$said"
echo ok
