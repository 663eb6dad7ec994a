# Shared libraries behave as natively when they are guest modules, opened by the program or linked with it:
# the same sources are built both ways, and what the programs say is compared.
. "$(dirname "$0")/lib.sh"
cd "$work"
export MEND_OPTIONS=--no-socket

# both_ways BUILD...: the shell function builds with $C and $CXX in the current folder; then ./program
# says the same.
both_ways() {
  local kind
  for kind in native hosted; do
    rm -rf "$1-$kind" && mkdir "$1-$kind"
    if [ "$kind" = native ]; then C=clang-22 CXX=clang++-22; else C="$patchc cc" CXX="$patchc c++"; fi
    (cd "$1-$kind" && "$1")
    (cd "$1-$kind" && ./program >../"$1-$kind.out" 2>&1) || echo "exit $?" >>"$1-$kind.out"
  done
  expect "$1" "$(cat "$1-native.out")" "$(cat "$1-hosted.out")"
}

# What dlerror says is about the last call, whoever answered it; -z nodelete keeps a library.
cat >module.c <<'C'
#include <stdio.h>
int module_value(void) { return 5; }
__attribute__((destructor)) static void end(void) { puts("module ends"); }
C
cat >loading.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
static void told(const char* what) {
  const char* const error = dlerror();
  const char* const undefined = error != NULL ? strstr(error, "undefined symbol") : NULL;
  printf("%s: %s\n", what, undefined != NULL ? undefined : error != NULL ? error : "nothing");
}
int main(void) {
  void* module = dlopen("./module.so", RTLD_NOW);
  dlsym(module, "absent");
  dlopen("./no-such-file.so", RTLD_NOW);
  told("native after hosted");
  dlopen("./no-such-file.so", RTLD_NOW);
  dlsym(module, "absent");
  told("hosted after native");
  dlsym(module, "absent");
  dlsym(RTLD_DEFAULT, "printf");
  told("success after hosted");
  dlopen("./no-such-file.so", RTLD_NOW);
  dlsym(module, "module_value");
  told("hosted success after native");
  dlsym(module, "absent");
  void* staying = dlopen("./staying.so", RTLD_NOW);
  told("success after failure");
  printf("%d\n", dlopen("./module.so", RTLD_GLOBAL) != NULL);
  const char* const mode = dlerror();
  puts(mode != NULL ? mode : "nothing");
  printf("%d %d\n", dlclose(module), dlclose(staying));
  puts("closed");
  printf("%d\n", dlopen("./module.so", RTLD_NOW | RTLD_NOLOAD) != NULL);
  printf("%d\n", dlopen("./staying.so", RTLD_NOW | RTLD_NOLOAD) == staying);
  fflush(stdout);
  return 0;
}
C
loading() {
  $C -O1 -fPIC -shared ../module.c -o module.so
  $C -O1 -fPIC -shared -Wl,-z,nodelete ../module.c -o staying.so
  $C -O1 ../loading.c -o program
}
both_ways loading

# dlopen as a program that stands in front of it has it, and an exported function that a resolver
# chooses.
cat >chosen.c <<'C'
static int one(void) { return 41; }
static void* choose(void) { return (void*)one; }
int chosen(void) __attribute__((ifunc("choose")));
C
cat >by_pointer.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
  void* (*open_next)(const char*, int) = (void* (*)(const char*, int))dlsym(RTLD_NEXT, "dlopen");
  void* (*find)(void*, const char*) =
      (void* (*)(void*, const char*))dlsym(dlopen("libc.so.6", RTLD_NOW), "dlsym");
  int (*chosen)(void) = (int (*)(void))find(open_next("./libchosen.so", RTLD_NOW), "chosen");
  printf("%d\n", chosen());
}
C
echo 'extern int printf(const char*, ...), chosen(void); int main(void) { printf("%d\n", chosen()); return 0; }' \
  >chosen_main.c
by_pointer() {
  $C -O1 -fPIC -shared ../chosen.c -o libchosen.so
  $C -O1 ../by_pointer.c -o program
}
chosen_linked() {
  $C -O1 -fPIC -shared ../chosen.c -o libchosen.so
  $C -O1 ../chosen_main.c -L. -lchosen '-Wl,-rpath,$ORIGIN' -o program
}
chosen_shown() {
  clang-22 -O1 -fPIC -shared -Dmain=asked ../chosen_main.c -o plugin.so
  $C -O1 -rdynamic ../chosen.c -x c - -o program <<'C'
#include <dlfcn.h>
int main(void) { return ((int (*)(void))dlsym(dlopen("./plugin.so", RTLD_NOW), "asked"))() & 0; }
C
}
both_ways by_pointer
both_ways chosen_linked
both_ways chosen_shown

# A library stays until the destructors of its thread-locals have run.
cat >thread_end.cc <<'C'
#include <cstdio>
struct Local {
  int value = 3;
  ~Local() { std::printf("local %d\n", value); }
};
thread_local Local local;
struct Global {
  ~Global() { std::puts("global"), std::fflush(stdout); }
} global;
extern "C" int use() { return ++local.value; }
C
cat >thread_end_main.cc <<'C'
#include <dlfcn.h>
#include <cstdio>
#include <thread>
int main(int argc, char**) {
  void* const library = dlopen("./thread_end.so", RTLD_NOW);
  const auto use = reinterpret_cast<int (*)()>(dlsym(library, "use"));
  std::thread([use] { std::printf("%d\n", use()); }).join();
  if (argc == 1) std::printf("%d\n", use());
  std::printf("%d\n", dlclose(library));
  std::puts("closed");
  std::fflush(stdout);
}
C
used_by_main_thread() {
  $CXX -O1 -fPIC -shared ../thread_end.cc -o thread_end.so
  $CXX -O1 ../thread_end_main.cc -o program
}
used_by_ended_thread() {
  $CXX -O1 -fPIC -shared ../thread_end.cc -o thread_end.so
  $CXX -O1 ../thread_end_main.cc -o hosted
  printf '#!/bin/sh\nexec ./hosted more\n' >program
  chmod +x program
}
both_ways used_by_main_thread
both_ways used_by_ended_thread

# What is preloaded stands in front of hosted code's libc, be it pthread_create itself.
cat >preloaded.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
int open(const char* path, int flags, int mode) {
  int (*next)(const char*, int, int) = (int (*)(const char*, int, int))dlsym(RTLD_NEXT, "open");
  return next(strcmp(path, "/virtual") == 0 ? "/dev/null" : path, flags, mode);
}
struct start { void* (*routine)(void*); void* argument; };
static void* run(void* handed) {
  const struct start start = *(struct start*)handed;
  free(handed);
  return (char*)start.routine(start.argument) + 100;
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*routine)(void*),
                   void* argument) {
  int (*next)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) =
      (int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))dlsym(RTLD_NEXT, "pthread_create");
  struct start* const start = malloc(sizeof *start);
  *start = (struct start){routine, argument};
  return next(thread, attributes, run, start);
}
C
cat >preloading.c <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static __thread long counter = 5;
static void* count(void* unused) { return (void*)counter++; }
int main(int argc, char** argv) {
  if (getenv("LD_PRELOAD") == NULL) {
    setenv("LD_PRELOAD", "./preloaded.so", 1);
    execv("/proc/self/exe", argv);
  }
  pthread_t thread;
  void* result;
  pthread_create(&thread, NULL, count, NULL);
  pthread_join(thread, &result);
  printf("%d %ld\n", open("/virtual", O_RDONLY) >= 0, (long)result);
}
C
preloading() {
  clang-22 -w -O1 -fPIC -fno-builtin -shared ../preloaded.c -o preloaded.so
  $C -O1 ../preloading.c -o program
}
both_ways preloading

# What dlsym finds of a program is what its link shows.
echo 'int of_archive(void) { return 1; }' >of_archive.c
cat >shows.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int of_archive(void), variable = 3;
int function(void) { return of_archive(); }
__attribute__((visibility("hidden"))) int hidden(void) { return 2; }
int main(void) {
  const char* const names[] = {"function", "variable", "hidden", "of_archive", "main", "puts"};
  void* const program = dlopen(NULL, RTLD_NOW);
  for (int i = 0; i < 6; ++i) {
    printf("%s %d %d\n", names[i], dlsym(program, names[i]) != NULL,
           dlsym(RTLD_DEFAULT, names[i]) != NULL);
  }
}
C
echo '{ function; };' >shown.list
echo '{ global: variable; local: *; };' >shown.map
shows() {
  $C -O1 -c ../of_archive.c -o of_archive.o
  ar rc libof.a of_archive.o
  # shellcheck disable=SC2086
  $C -O1 $shown ../shows.c -L. -lof -o program
}
for shown in "" -rdynamic -Wl,--dynamic-list=../shown.list "-rdynamic -Wl,--version-script=../shown.map" \
  -Wl,--export-dynamic-symbol=function "-rdynamic -Wl,--exclude-libs,ALL" "-rdynamic -fvisibility=hidden"; do
  both_ways shows
done

# Of several definitions the first one counts, be it weak.
cat >weak.c <<'C'
__attribute__((weak)) int number(void) { return NUMBER; }
__attribute__((weak)) int variable = NUMBER;
BINDING int mixed(void) { return NUMBER; }
int NAME(void) { return number() * 100 + variable * 10 + mixed(); }
C
cat >weak_main.c <<'C'
#include <stdio.h>
extern int first(void), second(void), number(void), mixed(void), variable;
#ifdef OWN
__attribute__((weak)) int number(void) { return 7; }
#endif
int main(void) { printf("%d %d %d %d %d\n", first(), second(), number(), mixed(), variable); }
C
weak_libraries() {
  $C -O0 -fPIC -shared -DNUMBER=1 -DNAME=first "-DBINDING=__attribute__((weak))" ../weak.c -o libfirst.so
  $C -O0 -fPIC -shared -DNUMBER=2 -DNAME=second -DBINDING= ../weak.c -o libsecond.so
}
first_is_weak() {
  weak_libraries
  $C -O0 ../weak_main.c -L. -lfirst -lsecond '-Wl,-rpath,$ORIGIN' -o program
}
first_is_strong() {
  weak_libraries
  $C -O0 ../weak_main.c -L. -lsecond -lfirst '-Wl,-rpath,$ORIGIN' -o program
}
program_is_weak() {
  weak_libraries
  $C -O0 -DOWN ../weak_main.c -L. -lsecond -lfirst '-Wl,-rpath,$ORIGIN' -o program
}
both_ways first_is_weak
both_ways first_is_strong
both_ways program_is_weak

# Versions of a symbol.
cat >versions.c <<'C'
int price_1(void) { return 1; }
int price_2(void) { return 2; }
__asm__(".symver price_1, price@V1");
__asm__(".symver price_2, price@@V2");
extern int price(void);
int price_times_ten(void) { return price() * 10; }
C
echo 'V1 { global: price; price_times_ten; local: *; }; V2 { global: price; } V1;' >versions.map
cat >versions_main.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
extern int price_times_ten(void), price(void);
int main(void) {
  printf("%d %d\n", price(), price_times_ten());
  double (*cosine)(double) = (double (*)(double))dlvsym(RTLD_DEFAULT, "cos", "GLIBC_2.2.5");
  printf("%.1f\n", cosine(0));
}
C
cat >versions_open.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
  void* library = dlopen("./libversions.so", RTLD_NOW);
  if (library == NULL) return puts(dlerror()), 1;
  int (*plain)(void) = (int (*)(void))dlsym(library, "price");
  int (*old)(void) = (int (*)(void))dlvsym(library, "price", "V1");
  int (*new)(void) = (int (*)(void))dlvsym(library, "price", "V2");
  printf("%d %d %d %d\n", plain(), old(), new(), plain == new);
}
C
versions_library() {
  $C -O1 -fPIC -shared -Wl,--version-script=../versions.map ../versions.c -o libversions.so
}
versions_linked() {
  versions_library
  $C -O1 ../versions_main.c -L. -lversions -Wl,--no-as-needed -lm '-Wl,-rpath,$ORIGIN' -o program
}
versions_opened() {
  versions_library
  $C -O1 ../versions_open.c -o program
}
both_ways versions_linked
both_ways versions_opened

# Inline variables and statics of inline functions are one for libraries that see each other.
cat >inline.h <<'C'
inline int counter = 5;
template <class T> struct Registry { static T value; };
template <class T> T Registry<T>::value{};
inline int& Static() { static int value = 100; return value; }
C
cat >inline.cc <<'C'
#include "inline.h"
extern "C" int count() { return ++counter + 1000 * ++Registry<int>::value + 1000000 * ++Static(); }
C
cat >inline_main.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
static int open_and_call(const char* file, int flags) {
  int (*count)(void) = (int (*)(void))dlsym(dlopen(file, RTLD_NOW | flags), "count");
  return count();
}
int main(void) {
  printf("%d\n", open_and_call("./local_a.so", RTLD_LOCAL));
  printf("%d\n", open_and_call("./local_b.so", RTLD_LOCAL));
  printf("%d\n", open_and_call("./global_a.so", RTLD_GLOBAL));
  printf("%d\n", open_and_call("./global_b.so", RTLD_GLOBAL));
  printf("%d\n", open_and_call("./after.so", RTLD_LOCAL));
  // The first one of those that all see, however they lie in memory.
  void* const first = dlsym(dlopen("./global_a.so", RTLD_NOW), "count");
  open_and_call("./local_b.so", RTLD_GLOBAL);
  open_and_call("./local_a.so", RTLD_GLOBAL);
  printf("%d\n", dlsym(RTLD_DEFAULT, "count") == first);
}
C
inline_data() {
  for name in local_a local_b global_a global_b after; do
    $CXX -std=c++20 -O1 -fPIC -shared ../inline.cc -o $name.so
  done
  $C -O1 ../inline_main.c -o program
}
both_ways inline_data

# What would change where a program begins or what a name means is refused when it is linked, in every
# spelling that the linker takes.
echo 'int main(void) { return 0; } void begin(void) {}' >entry.c
refused_link() {
  expect_code 1 "$patchc" cc entry.c "$1" -o entry
  expect_match "$1 is refused" "$2" "$output"
}
for entry in -Wl,-e,begin -Wl,-ebegin -Wl,--entry=begin -Wl,-entry,begin; do
  refused_link "$entry" "-e begin: a hosted program starts in main"
done
expect_code 0 "$patchc" cc entry.c -Wl,-e,_start -Wl,-init=_init -Wl,-eh-frame-hdr -Wl,-export-dynamic -o entry
echo 'other = begin;' >defines.ld
for option in -Wl,--wrap=begin -Wl,-wrap,begin -Wl,--defsym=other=begin -Wl,-defsym,other=begin -Wl,-Tdefines.ld \
  -Wl,-script=defines.ld -Wl,-dT,defines.ld defines.ld; do
  refused_link "$option" "the host does not do this at link time"
done
for option in -Wl,-init,begin -Wl,-init=begin -Wl,--fini=begin; do
  refused_link "$option" "make the function one"
done
expect_code 0 "$patchc" cc entry.c -Wl,-Ttext=0x800000 -no-pie -o entry
expect_match "where code lies" "note: -Ttext=0x800000 has no effect" "$output"
echo 'INPUT(also.o)' >names.ld
echo 'int also(void) { return 3; }' >also.c
echo 'extern int also(void); int main(void) { return also(); }' >uses.c
"$patchc" cc -c also.c -o also.o
expect_code 0 "$patchc" cc uses.c names.ld -o uses
expect_code 3 ./uses

# Instrumentation whose runtime knows native code only, and passes of others.
for option in -fsplit-stack -fxray-instrument -fmemory-profile -fsanitize-coverage=trace-pc-guard \
  -fpass-plugin=absent.so; do
  expect_code 1 "$patchc" cc -c entry.c "$option" -o entry.o
  expect_match "$option is refused" "${option%%=*} cannot be hosted" "$output"
done
expect_code 0 "$patchc" cc -flto -fwhole-program-vtables entry.c -o entry
expect_match "an option for -flto" "-fwhole-program-vtables is dropped" "$output"
