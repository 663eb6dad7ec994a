# dlopen with RTLD_LAZY: a guest module may call functions that nobody has when it is opened. They are looked for when
# they are called; what is not there then ends the process, as natively.
. "$(dirname "$0")/lib.sh"
cd "$work"

# The arguments are in all the registers that a call has for them.
cat >early.c <<'SOURCE'
#include <stdarg.h>
typedef double wide __attribute__((vector_size(32)));
long late_sum(int, long, int, long, int, long, long, double, double, float, double, double, double, double, double);
int late_count(int, ...);
__attribute__((target("avx"))) wide late_wide(wide, wide);
int late_never(int);
int early_twice(int n) { return 2 * n; }
long early_sum(void) { return late_sum(1, 2, 3, 4, 5, 6, 7, 1.5, 2.5, 3.5f, 4.5, 5.5, 6.5, 7.5, 8.5); }
long early_count(void) { return late_count(3, 1.25, 2.5, 0.25); }
__attribute__((target("avx"))) long early_wide(void) {
  wide a = {1, 2, 3, 4}, b = {10, 20, 30, 40};
  wide c = late_wide(a, b);
  return (long)(c[0] + c[1] + c[2] + c[3]);
}
long early_never(void) { return late_never(1); }
SOURCE
cat >late.c <<'SOURCE'
#include <stdarg.h>
typedef double wide __attribute__((vector_size(32)));
int early_twice(int);
long late_sum(int a, long b, int c, long d, int e, long f, long g, double h, double i, float j, double k, double l,
              double m, double n, double o) {
  return early_twice((int)(a + b + c + d + e + f + g)) + (long)(h + i + j + k + l + m + n + o);
}
int late_count(int count, ...) {
  va_list list;
  double sum = 0;
  va_start(list, count);
  while (count-- > 0) sum += va_arg(list, double);
  va_end(list);
  return (int)sum;
}
__attribute__((target("avx"))) wide late_wide(wide a, wide b) { return a + b; }
SOURCE
echo 'extern int late_datum; int data_get(void) { return late_datum; }' >data.c
echo 'int late_never(int); int (*address_get(void))(int) { return late_never; }' >address.c
cat >main.c <<'SOURCE'
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
static void *opened[8];
static int count;
static long (*find(const char *name))(void) {
  long (*function)(void) = NULL;
  for (int i = 0; i < count && !function; ++i) function = (long (*)(void))dlsym(opened[i], name);
  return function;
}
int main(void) {
  char line[256], word[32], name[200];
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "%31s %199s", word, name) != 2) continue;
    if (strcmp(word, "call") == 0) {
      long (*function)(void) = find(name);
      errno = 77;
      if (!function) puts("nothing");
      else if (strcmp(name, "early_wide") == 0 && !__builtin_cpu_supports("avx")) puts("110");
      else printf("%ld\n", function());
      if (errno != 77) printf("errno %d\n", errno);
    } else {
      const int when = strcmp(word, "now") == 0 ? RTLD_NOW : RTLD_LAZY;
      void *library = dlopen(name, when | (strcmp(word, "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL));
      puts(library ? "opened" : strstr(dlerror(), "undefined symbol") ? "undefined symbol" : "other");
      if (library) opened[count++] = library;
    }
    fflush(stdout);
  }
}
SOURCE
mkdir native
build() {
  clang-22 -O2 -fPIC -shared "$1.c" -o "native/$2.so" "${@:3}"
  "$patchc" cc -O2 -shared "$1.c" -o "$2.so" "${@:3}"
}
for name in early late data address; do build $name $name; done
build early early_now -Wl,-z,now
clang-22 -O2 main.c -o native/main
"$patchc" cc -O2 main.c -o main

# outcome FOLDER [VARIABLE=VALUE]: what the program there makes of it all, with its exit code.
outcome() {
  (
    cd "$1"
    code=0
    env MEND_OPTIONS=--no-socket "${@:2}" ./main 2>errors <<'LINES' || code=$?
now ./early.so
local ./early_now.so
local ./data.so
local ./address.so
global ./early.so
global ./late.so
call early_sum
call early_sum
call early_count
call early_wide
call early_never
call early_sum
LINES
    echo "exit code $code"
    cat errors
  )
}
wanted=$(outcome native)
expect_match "what is bound when it is called" "undefined symbol
undefined symbol
undefined symbol
undefined symbol
opened
opened
96
96
4
110
exit code 127
./main: symbol lookup error: .*early.so: undefined symbol: late_never$" "$wanted"
expect "what guest modules do" "$wanted" "$(outcome .)"
expect "with LD_BIND_NOW" "$(outcome native LD_BIND_NOW=1)" "$(outcome . LD_BIND_NOW=1)"

# A patch of the module's may call what it had to leave for later, and nothing else that is missing.
sed 's/return late_count(3, /return 100 + late_count(3, /' early.c >edited.c
diff -u --label a/early.c --label b/early.c early.c edited.c >fix.diff || true
sed 's/return late_never(1)/return late_nowhere(1)/; 1i long late_nowhere(int);' early.c >edited.c
diff -u --label a/early.c --label b/early.c early.c edited.c >nowhere.diff || true
start ./main
hear
ask "global ./early.so" opened
expect_code 0 "$patchc" apply --diff fix.diff --to "$hosted_pid"
ask "global ./late.so" opened
ask "call early_count" 104
ask "call early_sum" 96
expect_code 3 "$mend" unload "$hosted_pid" late
expect_match "what is bound" "EBUSY: .*another module uses it" "$output"
expect_code 3 "$patchc" apply --name nowhere --diff nowhere.diff --to "$hosted_pid"
expect_match "what nobody has" "MEND-E0140.*late_nowhere" "$output"
expect_code 0 "$mend" disable "$hosted_pid" fix
ask "call early_count" 4
finish

# A handler may come to a function that is not bound yet, while the thread binds another one.
functions=$(seq 0 799)
{
  for i in $functions; do echo "long provided_$i(long); long use_$i(long n) { return provided_$i(n) + 1; }"; done
  echo "long (*const uses[])(long) = {"
  for i in $functions; do echo "use_$i,"; done
  echo "};"
} >users.c
for i in $functions; do echo "long provided_$i(long n) { return n + $i; }"; done >provider.c
cat >handlers.c <<'SOURCE'
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

enum { kCount = 800 };
static long (*const* uses)(long);
static volatile sig_atomic_t low, high = kCount;
static volatile long of_handlers;

static void use_last(int number) {
  (void)number;
  if (low + 1 < high) {
    high = high - 1;
    of_handlers += uses[high](0);
  }
}

int main(void) {
  long sum = 0;
  void* const module = dlopen("./users.so", RTLD_LAZY);
  if (module == NULL || dlopen("./provider.so", RTLD_NOW | RTLD_GLOBAL) == NULL) return 1;
  uses = dlsym(module, "uses");
  signal(SIGALRM, use_last);
  const struct itimerval often = {{0, 100}, {0, 100}};
  setitimer(ITIMER_REAL, &often, NULL);
  while (low < high) {
    const int next = low;
    low = next + 1;
    sum += uses[next](0);
  }
  const struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  printf("%ld\n", sum + of_handlers);
  return 0;
}
SOURCE
for folder in native .; do
  compiler=("$patchc" cc)
  [ "$folder" = . ] || compiler=(clang-22)
  for module in users provider; do
    "${compiler[@]}" -O1 -fPIC -shared -o "$folder/$module.so" $module.c -Wl,-z,lazy
  done
  "${compiler[@]}" -O1 -o "$folder/handlers" handlers.c
  expect "$folder: handlers that bind" 320400 "$(cd "$folder" && MEND_OPTIONS=--no-socket timeout 60 ./handlers)"
done
