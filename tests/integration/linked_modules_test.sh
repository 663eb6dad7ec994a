# A program that is linked with libraries made by `patchc cc -shared`: it behaves as natively, and the
# libraries' code is patched with the program's.
. "$(dirname "$0")/lib.sh"

mkdir "$work/source"
cd "$work/source"
cat >lower.c <<'C'
#include <stdio.h>
int lower_state = 5;
static __thread int calls = 100;
__attribute__((constructor)) static void begin(void) { puts("lower begins"); }
__attribute__((destructor)) static void end(void) { puts("lower ends"); }
int lower(int x) { calls++; return x * 2 + lower_state + calls; }
int both(void) { return 2; }
C
cat >upper.c <<'C'
#include <math.h>
#include <stdio.h>
extern int lower(int);
__attribute__((constructor)) static void begin(void) { puts("upper begins"); }
__attribute__((destructor)) static void end(void) { puts("upper ends"); }
int upper(int x) { return lower(x) + (int)sqrt(x); }
__attribute__((noinline)) int both(void) { return 1; }
int upper_both(void) { return both(); }
C
cat >main.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
extern int upper(int), upper_both(void), both(void);
__attribute__((constructor)) static void begin(void) { puts("main begins"); }
int main(void) {
  char line[16];
  setvbuf(stdout, NULL, _IOLBF, 0);
  void* handle = dlopen("liblower.so.1", RTLD_NOW);
  int* state = handle != NULL ? dlsym(handle, "lower_state") : NULL;
  if (state != NULL) printf("state is %d\n", ++*state);
  printf("%d %d\n", upper_both(), both());
  while (fgets(line, sizeof line, stdin)) printf("%d\n", upper(4));
}
C
sed 's/x \* 2/x * 3/' lower.c >lower_fixed.c
diff -u lower.c lower_fixed.c >lower.patch || true

# build COMPILER FOLDER: upper names lower among what it needs; the program names only upper.
build() {
  local compiler=$1 folder=$2
  mkdir "$folder"
  $compiler -O1 -fPIC -shared -Wl,-soname,liblower.so.1 lower.c -o "$folder/liblower.so.1"
  ln -s liblower.so.1 "$folder/liblower.so"
  $compiler -O1 -fPIC -shared -Wl,-soname,libupper.so upper.c "-L$folder" -llower -lm -o "$folder/libupper.so"
  $compiler -O1 main.c "-L$folder" -lupper "-Wl,-rpath-link,$folder" -o "$folder/main"
}
build clang-22 native
build "$patchc cc" hosted
for folder in native hosted; do echo ask | LD_LIBRARY_PATH=$folder "$folder/main" >"$folder.out"; done
diff -u native.out hosted.out || fail "hosted is not as native"
expect "shared libraries that are left" "" "$(readelf -d hosted/main | grep -E 'libupper|liblower' || true)"

# The libraries' files are not needed any more.
mv hosted/main . && rm -r hosted
start "$work/source/main"
for line in "lower begins" "upper begins" "main begins" "state is 6" "1 1"; do
  hear
  expect "a line of the beginning" "$line" "$answer"
done
ask "" 117
expect_code 0 "$patchc" apply --diff lower.patch --to "$hosted_pid" --name fix
ask "" 122
expect_code 0 "$mend" revert "$hosted_pid"
ask "" 119

# What one program cannot hold is refused, by name.
echo '{ global: used; local: *; };' >exports
echo 'int helper(void) { return 3; } int used(void) { return helper(); }' >private.c
echo 'extern int used(void); int helper(void) { return 4; } int main(void) { return used() + helper(); }' >clash.c
"$patchc" cc -O1 -fPIC -shared -Wl,--version-script,exports private.c -o libprivate.so
expect_code 1 "$patchc" cc -O1 clash.c -L. -lprivate -o clash
expect_match "two of a name" "libprivate.so and the program each have a 'helper' of their own" "$output"
# But a unit that the project links into its library and into its program is one, and takes patches.
cat >common.c <<'C'
static int used_before;
int common(int x) { return x + ++used_before; }
C
echo '#include <stdio.h>
extern int used(void), common(int); int main(void) {
  char line[16];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin)) printf("%d %d\n", used(), common(10));
}' >shares.c
echo 'int common(int); int used(void) { return common(20); }' >library.c
"$patchc" cc -O1 -c common.c -o common.o
"$patchc" cc -O1 -fPIC -DPIC -c common.c -o common.lo
"$patchc" cc -O1 -fPIC -shared -Wl,--version-script,exports library.c common.lo -o libshares.so
expect_code 0 "$patchc" cc -O1 shares.c common.o -L. -lshares -o shares
expect_match "what is shared" "libshares.so: 1 unit\(s\) that it keeps to itself are the program's own" "$output"
exec 7>&- 8>&-
start "$work/source/shares"
await_target
ask go "21 12"
sed -i 's/x + ++/x + 100 + ++/' common.c
expect_code 0 "$patchc" apply common.c --to "$hosted_pid"
ask go "123 114"
cat >module.c <<'C'
#include <mend/livepatch.h>
static int init(void) { return 0; }
MEND_MODULE_INIT(init);
int used(void) { return 0; }
C
"$patchc" cc -O1 -fPIC -shared module.c -o libmodule.so
expect_code 1 "$patchc" cc -O1 clash.c -L. -lmodule -o clash
expect_match "a module with an init" "libmodule.so: has a MEND_MODULE_INIT" "$output"

# What stands between __start_NAME and __stop_NAME are the entries of one link, as natively (libfrr and each of
# FRR's daemons register their own), for the code of patches, too.
cat >table.h <<'C'
#include <stdio.h>
extern const int *const __start_entries[1] VISIBLE, *const __stop_entries[1] VISIBLE;
#define ENTRY(n) static const int value_##n = n; \
  static const int *const entry_##n __attribute__((used, section("entries"))) = &value_##n
#define LIST(name) fputs(name, stdout); \
  for (const int *const *entry = __start_entries; entry != __stop_entries; entry++) printf(" %d", **entry)
C
echo '#define VISIBLE __attribute__((weak))
#include "table.h"
ENTRY(1); ENTRY(2); void low(void) { LIST("low"); }' >low.c
echo '#define VISIBLE __attribute__((visibility("hidden")))
#include "table.h"
ENTRY(3); extern void low(void); void high(void) { low(); LIST(" high"); }' >high.c
echo '#define VISIBLE __attribute__((visibility("hidden")))
#include "table.h"
ENTRY(4); ENTRY(5); extern void high(void);
__attribute__((noinline)) static void list(void) { high(); LIST(" main"); puts(""); }
int main(void) { char line[16]; setvbuf(stdout, NULL, _IOLBF, 0); while (fgets(line, sizeof line, stdin)) list(); }' >tables.c
for compiler in clang-22 "$patchc cc"; do
  $compiler -O1 -fPIC -shared low.c -o liblow.so
  $compiler -O1 -fPIC -shared high.c -L. -llow -o libhigh.so
  $compiler -O1 tables.c -L. -lhigh -llow -o tables
  expect "tables of each link, by $compiler" "low 1 2 high 3 main 4 5" "$(echo ask | LD_LIBRARY_PATH=. ./tables)"
done
exec 7>&- 8>&-
start "$work/source/tables"
await_target
ask list "low 1 2 high 3 main 4 5"
sed -i 's/"low"/"LOW"/' low.c
sed -i 's/" main"/" MAIN"/' tables.c
expect_code 0 "$patchc" apply low.c tables.c --to "$hosted_pid"
ask list "LOW 1 2 high 3 MAIN 4 5"
sed -i 's/LIST(" high");/LIST(" high"); extern int __start_none[] __attribute__((weak)); if (__start_none) puts("none");/' high.c
expect_code 3 "$patchc" apply high.c --to "$hosted_pid"
expect_match "a new table" "MEND-E0119: .*high.c: refers to '__start_none', of a table that the running program does not have" "$output"

# libtool takes from `-v` what the compiler adds to a library by itself, and adds it then: nothing of ours may be there.
"$patchc" cc -shared -v common.o -o libcommon.so >commands 2>&1
expect_match "the compiler's own link" "crtbeginS.o.* common.o" "$(cat commands)"
expect_code 1 grep /patchc- commands
