# Hosted functions have names: in dladdr and backtrace_symbols, and in the report of a crash;
# a patched version is told apart from the original.
. "$(dirname "$0")/lib.sh"

cat >"$work/names.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static int read_it(int* p) { return *p + 1; }
__attribute__((noinline)) int reader(int* p) { return read_it(p) + 1; }

__attribute__((noinline)) static void tell(void) {
  Dl_info info;
  void* frames[16];
  if (dladdr((void*)reader, &info) == 0) abort();
  printf("%s %d\n", info.dli_sname, info.dli_saddr == (void*)reader);
  int count = backtrace(frames, 16);
  char** lines = backtrace_symbols(frames, count);
  for (int i = 0; i < count; i++) {
    if (strstr(lines[i], "(tell+0x") || strstr(lines[i], "(tell@")) puts("tell is named");
  }
  free(lines);
}

int main(void) {
  char line[64];
  static int number = 41;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == 'd') tell();
    if (line[0] == 'r') printf("%d\n", reader(&number));
    if (line[0] == 'c') printf("%d\n", reader((int*)8));
  }
}
C
sed 's/return \*p + 1;/return *p + 2;/' "$work/names.c" >"$work/fixed.c"
(cd "$work" && "$patchc" cc -O1 -g names.c -o names)
(cd "$work" && diff -u names.c fixed.c >fix.patch) || true

# --- dladdr and backtrace_symbols ---
start "$work/names"
say d
hear
expect "dladdr" "reader 1" "$answer"
hear
expect "backtrace_symbols" "tell is named" "$answer"

# --- the report of a crash, out of a patched function ---
ask r 43
expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$hosted_pid"
ask r 44
ulimit -c 0
say c
expect_end "death by SIGSEGV" 139
report=$(cat "$work/program.err")
expect_match "the signal" '^mend: names \([0-9]+\) died of SIGSEGV at address 0x8 in thread [0-9]+:' "$report"
expect_match "the patched function" '^mend:   #0 0x[0-9a-f]+ read_it@fix\+0x' "$report"
expect_match "the original one" '^mend:   #[0-9]+ 0x[0-9a-f]+ main\+0x' "$report"
grep -q 'cannot be followed' <<<"$report" && fail "the stack was not followed to its end: $report"
echo ok
