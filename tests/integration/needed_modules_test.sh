# dlopen of guest modules that need others does what the dynamic linker does: the order of constructors and destructors,
# references, what a handle's symbols are, what stays when one is missing.
. "$(dirname "$0")/lib.sh"
cd "$work"

# module NAME BODY: prints its name when it comes and goes.
module() {
  cat >"$1.c" <<SOURCE
#define _GNU_SOURCE
#include <stdio.h>
__attribute__((constructor)) static void come(void) { printf("+$1 "); }
__attribute__((destructor)) static void go(void) { printf("-$1 "); }
$2
SOURCE
}
next='#include <dlfcn.h>
static int next(void) {
  int (*function)(void) = (int (*)(void))dlsym(RTLD_NEXT, "which");
  int (*of_libc)(const char*) = (int (*)(const char*))dlsym(RTLD_NEXT, "puts");
  return (function == NULL ? 0 : function()) + (of_libc == puts ? 1 : 0);
}'
module bottom "$next"'
int bottom_call(void) { return 1; } int which(void) { return 10; } int bottom_next(void) { return next(); }'
module left "$next"'
int bottom_call(void); int left_call(void) { return 20 + bottom_call(); } int which(void) { return 20; }
int left_next(void) { return next(); }'
module right 'int bottom_call(void); int right_call(void) { return 30 + bottom_call(); } int which(void) { return 30; }
int right_only = 33;'
module top 'int left_call(void), right_call(void); int top_call(void) { return left_call() + right_call(); }'
module broken 'int left_call(void), nobody_knows(void); int broken_call(void) { return left_call() + nobody_knows(); }'
module curious "$next"'
int bottom_call(void); int curious_call(void) { return 100 + bottom_call(); } int curious_next(void) { return next(); }'
module asking '#include <dlfcn.h>
#include <string.h>
int bottom_call(void);
int asking_own(void) { return bottom_call(); }
static int Has(void* handle, const char* name) {
  void* found = dlsym(handle, name);
  Dl_info info;
  return found != NULL && dladdr(found, &info) != 0 && info.dli_sname != NULL && strcmp(info.dli_sname, name) == 0;
}
int asking_call(void) {
  return Has(RTLD_DEFAULT, "bottom_call") + 2 * Has(RTLD_DEFAULT, "asking_own") + 4 * Has(RTLD_DEFAULT, "right_call") +
         8 * Has(RTLD_DEFAULT, "puts") + 16 * Has(RTLD_DEFAULT, "which");
}'
# Each needs the other.
module ping 'int pong_call(int); int ping_call(int n) { return n == 0 ? 7 : pong_call(n - 1); }'
module pong 'int ping_call(int); int pong_call(int n) { return n == 0 ? 8 : ping_call(n - 1); }'
module missing 'int pang_call(int), nobody_knows(void); int missing_call(void) { return pang_call(nobody_knows()); }'
module pang 'int missing_call(void); int pang_call(int n) { return n == 3 ? 9 : missing_call(); }'

cat >main.c <<'SOURCE'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static struct { char name[64]; void *handle; } opened[64];
static int count;
static void *last(const char *name) {
  for (int i = count; i-- > 0;) {
    if (opened[i].handle && strcmp(opened[i].name, name) == 0) return opened[i].handle;
  }
  return NULL;
}
int main(void) {
  char line[256], word[32], name[64], symbol[64], path[80];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin)) {
    const int words = sscanf(line, "%31s %63s %63s", word, name, symbol);
    printf("%.*s: ", (int)strcspn(line, "\n"), line);
    snprintf(path, sizeof path, "./%s.so", name);
    if (strcmp(word, "open") == 0) {
      int flags = words == 3 && strstr(symbol, "lazy") ? RTLD_LAZY : RTLD_NOW;
      if (words == 3 && strstr(symbol, "global")) flags |= RTLD_GLOBAL;
      if (words == 3 && strstr(symbol, "noload")) flags |= RTLD_NOLOAD;
      if (words == 3 && strstr(symbol, "nodelete")) flags |= RTLD_NODELETE;
      void *before = last(name), *handle = dlopen(path, flags);
      if (handle) {
        strcpy(opened[count].name, name);
        opened[count++].handle = handle;
      } else if (!(flags & RTLD_NOLOAD)) {
        const char *error = dlerror();
        printf("%s ", strstr(error, "undefined symbol: nobody_knows") ? "nobody knows" :
                      strstr(error, "undefined symbol: bottom_call") ? "no bottom_call" : error);
      }
      puts(!handle ? "nothing" : handle == before ? "the same" : "another");
    } else if (strcmp(word, "close") == 0) {
      void *handle = last(name);
      for (int i = count; i-- > 0;) {
        if (opened[i].handle == handle) {
          opened[i].handle = NULL;
          break;
        }
      }
      printf("%d\n", handle ? dlclose(handle) : 99);
    } else if (strcmp(word, "call") == 0) {
      int (*function)(int) = (int (*)(int))dlsym(last(name), symbol);
      printf("%d\n", function ? function(3) : -1);
    } else if (strcmp(word, "leave") == 0) {
      puts("");
      fflush(stdout);
      _exit(0);
    } else if (strcmp(word, "datum") == 0) {
      const int *datum = (const int *)dlsym(last(name), symbol);
      printf("%d\n", datum ? *datum : -1);
    }
  }
  puts("end");
}
SOURCE

# build FOLDER COMPILER...
build() {
  local folder=$1
  shift
  mkdir -p "$folder"
  shared() {  # NAME NEEDED...
    local name=$1 needed
    shift
    local -a with=()
    for needed in "$@"; do with+=("-l:$needed.so"); done
    "${compiler[@]}" -O2 -fPIC -shared "$name.c" -o "$folder/$name.so" -L"$folder" ${with[@]+"${with[@]}"} \
      "-Wl,-rpath,\$ORIGIN" -Wl,--no-as-needed
  }
  local -a compiler=("$@")
  shared bottom
  shared left bottom
  shared right bottom
  shared top left right
  shared broken left
  shared curious
  shared asking bottom
  shared ping
  shared pong ping
  shared ping pong
  shared pang
  shared missing pang
  shared pang missing
  "${compiler[@]}" -O2 main.c -o "$folder/main"
}
build native clang-22
build hosted "$patchc" cc

# same WHAT < COMMANDS: says the lines to both; what they do must be the same.
same() {
  local lines wanted
  lines=$(cat)
  wanted=$(cd native && ./main <<<"$lines")
  expect "$1" "$wanted" "$(cd hosted && MEND_OPTIONS=--no-socket ./main <<<"$lines" 2>&1)"
  echo "$1: $wanted"
}

same "what is needed comes first and goes last" <<'LINES'
open top
call top top_call
call top bottom_call
call top which
datum top right_only
call left left_call
open left noload
call left left_call
close left
close top
open bottom noload
LINES

same "what others have open stays" <<'LINES'
open right
open top
open bottom
close top
call right right_call
close right
call bottom which
close bottom
open bottom noload
open right
LINES

same "one that cannot be opened takes those along that it brought" <<'LINES'
open broken
open left noload
open bottom noload
open bottom
open broken
call bottom bottom_call
open left
close bottom
open broken
call left left_call
close left
open broken lazy
call broken left_call
close broken
LINES

same "what is needed is for those that need it" <<'LINES'
open top
open curious
open top global
open curious
call curious curious_call
close top
close top
call curious curious_call
LINES

same "what a module finds itself" <<'LINES'
open asking
call asking asking_call
open right
call asking asking_call
open right global
call asking asking_call
close asking
LINES

same "what comes behind a module" <<'LINES'
open top
call top left_next
call top bottom_next
close top
open left
call left left_next
open top
call top left_next
close left
call top left_next
open curious
open bottom global
open curious
call curious curious_next
leave
LINES

same "what may not go" <<'LINES'
open right nodelete
close right
open right noload
close right
open right
call right right_call
LINES

# They stay, and the order in which they end with the process is not the native loader's.
same "two that need each other" <<'LINES'
open ping
call ping ping_call
call ping pong_call
open pong
call pong ping_call
call pong pong_call
leave
LINES

same "two that need each other, lazily" <<'LINES'
open pong lazy
call pong pong_call
call pong ping_call
leave
LINES

same "two that need each other, one of which needs more" <<'LINES'
open missing
open pang noload
open pang
open missing lazy
call missing pang_call
leave
LINES

same "what another one was linked with goes with it" <<'LINES'
open bottom global
open curious
close bottom
call curious curious_call
close curious
open bottom noload
open bottom global
open curious
close curious
close bottom
open bottom noload
LINES

# The operator's load does the same, and unload takes back what it has brought.
modules() { "$mend" ls "$hosted_pid" module | tr '\n' ' '; }
cd hosted
start ./main
await_target
expect_code 0 "$mend" load "$hosted_pid" top.so
expect "what is loaded" "bottom right left top " "$(modules)"
say "open left"
hear
expect "what the program opens then" "+bottom +right +left +top open left: another" "$answer"
ask "call left left_call" "call left left_call: 21"
expect_code 0 "$mend" load "$hosted_pid" top.so
expect_code 3 "$mend" unload "$hosted_pid" right
expect_match "what another module needs" "EBUSY: .*another module uses it" "$output"
expect_code 0 "$mend" unload "$hosted_pid" top
expect "what is left" "bottom left " "$(modules)"
say "close left"
hear
expect "what goes" "-top -right close left: -left -bottom 0" "$answer"
expect "what is left at the end" "" "$(modules)"
expect_code 3 "$mend" load "$hosted_pid" broken.so
expect_match "what is missing" "undefined symbol: nobody_knows" "$output"
expect "what a failure leaves" "" "$(modules)"
expect_code 0 "$mend" load "$hosted_pid" left.so --name other
expect "a name of the operator's" "bottom other " "$(modules)"
expect_code 0 "$mend" unload "$hosted_pid" other
expect "what is left without it" "" "$(modules)"
finish
cd ..

# A child that is forked while another thread is in a module's constructors has the module.
cat >slow.c <<'SOURCE'
#include <unistd.h>
extern int begun[2], forked[2];
__attribute__((constructor)) static void come(void) {
  char c;
  write(begun[1], "b", 1);
  read(forked[0], &c, 1);
}
int slow_call(void) { return 5; }
SOURCE
cat >forking.c <<'SOURCE'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int begun[2], forked[2];
static void *open_slow(void *unused) { return dlopen("./slow.so", RTLD_NOW); }
static int call(const char *file, const char *function) {
  void *handle = dlopen(file, RTLD_NOW);
  if (handle == NULL) return puts(dlerror());
  const int answer = ((int (*)(void))dlsym(handle, function))();
  return dlclose(handle) != 0 ? -1 : answer;
}
int main(void) {
  pthread_t thread;
  char c;
  pipe(begun);
  pipe(forked);
  pthread_create(&thread, NULL, open_slow, NULL);
  read(begun[0], &c, 1);
  const pid_t child = fork();
  if (child == 0) {
    printf("%d %d %d\n", call("./slow.so", "slow_call"), call("./slow.so", "slow_call"), call("./left.so", "left_call"));
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  write(forked[1], "f", 1);
  void *handle;
  pthread_join(thread, &handle);
  printf("%d\n", handle != NULL && call("./slow.so", "slow_call") == 5);
}
SOURCE
for folder in native hosted; do
  compiler=(clang-22)
  [ $folder = native ] || compiler=("$patchc" cc)
  "${compiler[@]}" -O2 -fPIC -shared slow.c -o $folder/slow.so
  "${compiler[@]}" -O2 -rdynamic forking.c -o $folder/forking
done
wanted=$(cd native && ./forking)
expect_match "what a forked child has natively" "^([+]bottom [+]left -left -bottom )?5 5 21" "$wanted"
expect "what a forked child has" "$wanted" "$(cd hosted && MEND_OPTIONS=--no-socket ./forking)"

# What libc's functions say of a module: its file is the module's, not the program's.
cat >places.c <<'SOURCE'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  void *handle = dlopen("./right.so", RTLD_NOW);
  void *function = dlsym(handle, "right_call"), *datum = dlsym(handle, "right_only");
  Dl_info info;
  printf("%d %s %s\n", dladdr(function, &info), info.dli_fname, info.dli_sname);
  printf("%d %s\n", dladdr(datum, &info), info.dli_fname);
  printf("%d %s\n", dladdr((void *)main, &info), info.dli_fname);
  char **line = backtrace_symbols(&function, 1);
  printf("%.*s\n", (int)strcspn(line[0], "+"), line[0]);
  struct link_map *map = NULL;
  printf("%d", dlinfo(handle, RTLD_DI_LINKMAP, &map));
  printf(" %s\n", map->l_name);
  char origin[4096];
  printf("%d", dlinfo(handle, RTLD_DI_ORIGIN, origin));
  printf(" %s\n", strrchr(origin, '/'));
  Lmid_t space = 9;
  printf("%d", dlinfo(handle, RTLD_DI_LMID, &space));
  printf(" %d\n", (int)space);
  printf("%d %s\n", dlsym(handle, "nothing") != NULL, dlerror());
  void *again = dlmopen(LM_ID_BASE, "./right.so", RTLD_NOW);
  printf("%d %d\n", again == handle, dlclose(again));
  printf("%d %d\n", dlinfo(dlopen(NULL, RTLD_NOW), RTLD_DI_LINKMAP, &map), map->l_name[0]);
  printf("%d\n", dlclose(handle));
}
SOURCE
clang-22 -O2 places.c -o native/places
"$patchc" cc -O2 places.c -o hosted/places
wanted=$(cd native && ./places)
expect_match "what a module says natively" " 1 ./right.so right_call$" "$wanted"
expect "what a module says" "$wanted" "$(cd hosted && MEND_OPTIONS=--no-socket ./places 2>&1)"

# Threads that open and close the same ones, and fail to: each call finds all that it needs, and nothing is left.
cat >threads.c <<'SOURCE'
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static const struct { const char *file, *function; int answer; } kinds[] = {
    {"./bottom.so", "bottom_call", 1}, {"./left.so", "left_call", 21}, {"./right.so", "right_call", 31},
    {"./top.so", "top_call", 52},      {"./top.so", "bottom_call", 1}, {"./broken.so", NULL, 0}};
static atomic_int stop, wrong;
static void *work(void *seed) {
  unsigned random = (unsigned)(size_t)seed;
  while (!stop) {
    const int kind = rand_r(&random) % 6;
    void *handle = dlopen(kinds[kind].file, RTLD_NOW);
    if ((handle == NULL) != (kinds[kind].function == NULL)) fprintf(stderr, "%d: %s\n", ++wrong, dlerror());
    if (handle == NULL) continue;
    int (*function)(void) = (int (*)(void))dlsym(handle, kinds[kind].function);
    if (function == NULL || function() != kinds[kind].answer) fprintf(stderr, "%d: answer\n", ++wrong);
    if (dlclose(handle) != 0) fprintf(stderr, "%d: %s\n", ++wrong, dlerror());
  }
  return NULL;
}
int main(void) {
  pthread_t threads[4];
  freopen("/dev/null", "w", stdout);
  for (size_t i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
  sleep(3);
  stop = 1;
  for (size_t i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  for (int kind = 0; kind < 6; ++kind) {
    if (dlopen(kinds[kind].file, RTLD_NOW | RTLD_NOLOAD) != NULL) fprintf(stderr, "%s is left\n", kinds[kind].file);
  }
  return wrong != 0;
}
SOURCE
"$patchc" cc -O2 threads.c -o hosted/threads
expect_code 0 sh -c "cd hosted && MEND_OPTIONS=--no-socket ./threads"
expect "threads" "" "$output"
