# What a program defines for the libraries of its process, too: malloc and its kin, other functions and
# variables of libraries, and what libraries leave for the program to define. Each program is compiled
# natively and hosted, at -O0 and at -O2, and behaves the same.
. "$(dirname "$0")/lib.sh"
export MEND_OPTIONS=--no-socket
sources=$source_root/tests/integration/replacing
if [ -e "$build/lib/libmend-asan.so" ]; then
  echo "skipped: AddressSanitizer's own strdup gives out its own memory"
  exit 77
fi
cd "$work"
printf '%s\n' 'a line of some length' 'and a longer one, for which there is to be no room in the first' >input

# same NAME PROGRAM: $work/native/PROGRAM and $work/hosted/PROGRAM do the same with the input.
same() {
  local name=$1 program=$2 kind wanted
  for kind in native hosted; do
    expect_code_of_run "$kind" "$program"
  done
  cmp -s native/outcome hosted/outcome || { diff native/outcome hosted/outcome || true; fail "$name differs"; }
  expect_match "$name, natively" "^exit 0$" "$(cat native/outcome)"
  echo "ok $name"
}
expect_code_of_run() {
  local code=0
  timeout 60 "./$1/$2" <input >"$1/outcome" 2>"$1/errors" || code=$?
  { echo "exit $code"; cat "$1/errors"; } >>"$1/outcome"
}

# both NAME.EXT OPTIONS...: compiles it both ways.
mkdir native hosted
both() {
  local source=$1 name=${1%.*} native=(clang-22 -std=gnu11) hosted=("$patchc" cc -std=gnu11)
  shift
  case $source in
    *.cc) native=(clang++-22 -std=c++20) hosted=("$patchc" c++ -std=c++20) ;;
  esac
  "${native[@]}" -pthread "$sources/$source" -o "native/$name" "$@"
  # Without a word: nothing is left to warn of.
  expect "warnings of $source" "" "$("${hosted[@]}" -pthread "$sources/$source" -o "hosted/$name" "$@" 2>&1)"
}

for level in -O0 -O2; do
  for source in own_malloc.c wrapped_malloc.c operators.cc replaced_function.cc; do
    both "$source" "$level"
    same "$source $level" "${source%.*}"
  done
  both replaced_variables.c "$level"
  for kind in native hosted; do
    expect "$kind replaced_variables.c $level" "replaced variables 1.0" "$("./$kind/replaced_variables")"
  done
done

# Blocks from before the program.
clang-22 -O2 -fPIC -shared "$sources/early_library.c" -o libearlier.so -Wl,-soname,libearlier.so
for level in -O0 -O2; do
  both early_blocks.c "$level" -L. -learlier -Wl,-rpath,"$work"
  same "early_blocks.c $level" early_blocks
done

# An allocator in a library, and an archive of an allocator.
cat >pool.c <<'CODE'
#define _GNU_SOURCE
#include "pool_malloc.h"
CODE
clang-22 -O2 -fPIC -shared -I"$sources" pool.c -o libpool.so -Wl,-soname,libpool.so
both library_malloc.c -O2 -L. -lpool -Wl,-rpath,"$work"
same "an allocator in a library" library_malloc
clang-22 -O2 -c -I"$sources" pool.c -o pool.o
ar rc libarchived.a pool.o
expect_code 1 "$patchc" cc "$sources/library_malloc.c" -L. -larchived
expect_match "an allocator with thread-locals that patchc has not compiled" "libarchived.a.*accesses thread-local storage" \
  "$output"
clang-22 -O2 -D__thread= -c -I"$sources" pool.c -o pool.o
ar rc libarchived.a pool.o
both library_malloc.c -O2 -L. -larchived
same "an allocator in an archive" library_malloc
both operators.cc -O2 -L. -larchived
same "operators over an allocator in an archive" operators
"$patchc" cc -O2 -c -I"$sources" pool.c -o pool.o
ar rc libarchived.a pool.o
"$patchc" cc -std=gnu11 -O2 -pthread "$sources/library_malloc.c" -o hosted/library_malloc -L. -larchived
same "a patchable allocator in an archive" library_malloc

# A malloc that comes last is nobody's. (The optimiser would put it into its callers, natively, too.)
cat >module.c <<'CODE'
#define _GNU_SOURCE
#include "pool_malloc.h"
#include <stdlib.h>
int module_owns(void) {
  char* block = malloc(10);
  int owns = is_of_pool(block);
  free(block);
  free(strdup("a string"));
  return owns;
}
CODE
both opens_module.c -O1
for kind in native hosted; do
  compiler=("$patchc" cc)
  [ "$kind" = hosted ] || compiler=(clang-22)
  "${compiler[@]}" -std=gnu11 -O0 -fPIC -shared -I"$sources" module.c -o module.so
  expect "$kind: a library's own malloc" 0 "$("./$kind/opens_module")"
done

# Those that people use, where they are installed.
cat >owner.c <<'CODE'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
int is_of_pool(const void* block) {
  /* Who serves malloc for libraries. */
  Dl_info info;
  return block != NULL && dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 && strstr(info.dli_fname, "malloc") != NULL;
}
CODE
clang-22 -O2 -fPIC -shared owner.c -o libowner.so
for library in libjemalloc.so.2 libtcmalloc.so.4 libtcmalloc_minimal.so.4 libmimalloc.so.2; do
  if ! clang-22 -x c /dev/null -shared -o probe.so "-l:$library" 2>/dev/null; then
    echo "not installed: $library"
    continue
  fi
  both library_malloc.c -O2 "-l:$library" -L. -lowner -Wl,-rpath,"$work"
  same "$library" library_malloc
  both operators.cc -O2 "-l:$library"
  # mimalloc's library gives blocks of its own to the program's operator delete, natively as well.
  if ! ./native/operators <input >/dev/null 2>&1; then
    echo "not natively: $library with operators"
    continue
  fi
  same "$library with operators" operators
done

# Functions and data that a library leaves to the program, bound at once; constructors of the library
# that change the data.
cat >late_library.c <<'CODE'
int default_handler(int);
extern int program_level;
int also_default(int (*handler)(int)) { return handler == default_handler ? program_level : -1; }
CODE
clang-22 -O2 -fPIC -shared late_library.c -o late.so
for level in -O0 -O2; do
  clang-22 "$level" -fPIC -shared "$sources/library.c" -o libevents.so -Wl,-z,now -Wl,-soname,libevents.so
  both callbacks.c "$level" -L. -levents -Wl,-rpath,"$work"
  same "callbacks $level" callbacks
  clang-22 "$level" -fPIC -shared "$sources/library.c" -o libevents.so -Wl,-z,lazy -Wl,-soname,libevents.so -fno-plt
  same "callbacks without a PLT $level" callbacks
done

# What cannot be: code of the program before there is any.
cat >early.c <<'CODE'
int on_event(int);
__attribute__((constructor)) static void begin(void) { on_event(1); }
int fire(int n) { return on_event(n); }
CODE
cat >late.c <<'CODE'
int fire(int);
int on_event(int n) { return n * 2; }
int main(void) { return fire(1); }
CODE
clang-22 -fPIC -shared early.c -o libearly.so -Wl,-soname,libearly.so
"$patchc" cc late.c -o late -L. -learly -Wl,-rpath,"$work"
expect_code 126 ./late
expect_match "a call from a library's constructor" \
  "cannot host the program: a library calls 'on_event' of the program from a constructor" "$output"

# Data with addresses in it, that the library has changed already.
sed 's/program_level += 100;/program_table.calls = 9;/' "$sources/library.c" >changing.c
clang-22 -O2 -fPIC -shared changing.c -o libevents.so -Wl,-soname,libevents.so
expect_code 126 ./hosted/callbacks
expect_match "changed data" "a library has written to program_table, which holds addresses" "$output"

# The program's malloc is patched like any function, under load, while libraries call it.
unset MEND_OPTIONS
cat >patched.c <<'CODE'
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "pool_malloc.h"
static int version(void) { return 1; }
__attribute__((noinline)) int pool_version(void) { return version(); }
static void* churn(void* unused) {
  (void)unused;
  for (;;) free(strdup("some text to be copied"));
}
int main(void) {
  pthread_t thread;
  for (int i = 0; i < 3; ++i) pthread_create(&thread, NULL, churn, NULL);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    char* text = strdup("four");
    printf("%d %d\n", pool_version(), (int)malloc_usable_size(text));
    fflush(stdout);
    free(text);
  }
  return 0;
}
CODE
cp "$sources"/pool*.h .
sed 's/unsigned log = 5;/unsigned log = 7;/' pool.h >pool_edited.h
diff -u pool.h pool_edited.h >fix.patch || true
"$patchc" cc -O2 -pthread patched.c -o patched
start ./patched
ask go "1 16"
for round in 1 2 3; do
  expect_code 0 "$patchc" apply --diff fix.patch --name fix --to "$hosted_pid"
  ask go "1 112"
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask go "1 16"
done
finish

# Sizes and alignments that no memory has, asked of mend's own memory: refused, as libc refuses them.
cat >greedy.c <<'CODE'
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
static int refusals, wrong_errors;
static void want_refused(void* block, int error) {
  if (block == NULL) ++refusals;
  if (errno != error) ++wrong_errors;
  errno = 0;
}
__attribute__((constructor)) static void begin(void) {
  volatile size_t most = SIZE_MAX;
  want_refused(pvalloc(most), ENOMEM);
  want_refused(pvalloc(most - 4094), ENOMEM);
  want_refused(valloc(most), ENOMEM);
  want_refused(memalign(most, 1), EINVAL);
  want_refused(memalign(most / 2 + 2, 1), EINVAL);
  want_refused(memalign(most / 2 + 1, 1), ENOMEM);
}
int count_refusals(void) { return refusals * 10 + wrong_errors; }
CODE
cat >greedy_user.c <<'CODE'
#define _GNU_SOURCE
#include <stdio.h>
#include "pool_malloc.h"
int count_refusals(void);
int main(void) { printf("%d\n", count_refusals()); }
CODE
clang-22 -O1 -fno-builtin -fPIC -shared greedy.c -o libgreedy.so -Wl,-soname,libgreedy.so
"$patchc" cc -O2 greedy_user.c -o greedy -L. -lgreedy -Wl,-rpath,"$work"
expect "sizes and alignments that wrap round" 60 "$(MEND_OPTIONS=--no-socket ./greedy)"

# What a call that may sleep calls of the program (malloc, for its buffer) is a unit like any other,
# although its thread passes for blocked before and after.
cat >below.c <<'CODE'
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "pool_malloc.h"
__attribute__((noinline)) int first(void) { return 1; }
__attribute__((noinline)) int second(void) { return 1; }
static __thread const char* stay_until;
static int seen[2];
/* The pool calls it under no lock. */
__attribute__((noinline)) void pool_asked(void) {
  if (stay_until == NULL) return;
  const char* until = stay_until;
  stay_until = NULL;
  seen[0] = first();
  struct stat status;
  puts("inside");
  fflush(stdout);
  while (stat(until, &status) != 0) {
  }
  seen[1] = second();
}
static void* open_a_file(void* unused) {
  stay_until = "go";
  FILE* file = fopen("/dev/null", "r");
  if (file != NULL) fclose(file);
  return unused;
}
static void* close_a_file(void* unused) {
  FILE* file = fopen("/dev/null", "r");
  stay_until = "go";
  fclose(file);
  return unused;
}
/* Its end is not in the stream's buffer yet. */
static void read_line(char* line, size_t size) {
  static char buffer[64];
  FILE* file = fopen("line", "r");
  setvbuf(file, buffer, _IOFBF, sizeof buffer);
  fgetc(file);
  stay_until = "go";
  if (getline(&line, &size, file) < 0) seen[0] = 9;
  fclose(file);
  free(line);
}
static void* read_a_line(void* unused) {
  read_line(NULL, 0);
  return unused;
}
static void* grow_a_line(void* unused) {
  read_line(malloc(16), 16);
  return unused;
}
int main(void) {
  char line[64];
  pthread_t thread;
  setvbuf(stdout, malloc(4096), _IOFBF, 4096);
  while (fgets(line, sizeof line, stdin) != NULL) {
    void* (*what)(void*) = line[0] == 'o'   ? open_a_file
                           : line[0] == 'c' ? close_a_file
                           : line[0] == 'r' ? read_a_line
                           : line[0] == 'g' ? grow_a_line
                                            : NULL;
    if (what != NULL) {
      pthread_create(&thread, NULL, what, NULL);
      continue;
    }
    if (line[0] == 'j') pthread_join(thread, NULL);
    printf("%d %d, %d %d\n", seen[0], seen[1], first(), second());
    fflush(stdout);
  }
  return 0;
}
CODE
sed 's/^void\* malloc(size_t size) {/void pool_asked(void);\n&\n  pool_asked();\n /; s/^void free(void\* block) {/&\n  pool_asked();\n /
  s/^void\* realloc(void\* block, size_t size) {/&\n  pool_asked();/' "$sources/pool_malloc.h" >pool_malloc.h
sed 's/\(first\|second\)(void) { return 1; }/\1(void) { return 2; }/' below.c >below_edited.c
diff -u below.c below_edited.c >below.patch || true
printf '%0200d\n' 0 >line
"$patchc" cc -O2 -pthread below.c -o below
"$patchc" build --name fix --hold pool_asked -o below.mendpatch --base below --diff below.patch >/dev/null
for call in open close read grow; do
  start ./below
  await_target
  rm -f go
  ask "$call" inside
  expect_code 4 "$patchc" apply below.mendpatch --timeout 1 --to "$hosted_pid"
  touch go
  ask join "1 1, 1 1"
  expect_code 0 "$patchc" apply below.mendpatch --to "$hosted_pid"
  ask values "1 1, 2 2"
  finish
  echo "ok malloc below a blocking call: $call"
done
