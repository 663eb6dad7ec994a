# A conservative garbage collector (libgc) in a hosted program: it takes for static data what
# dl_iterate_phdr tells it of, so what only a variable of the program or of a guest module leads to must
# survive its collections, before a patch and after one.
. "$(dirname "$0")/lib.sh"
[ ! -e "$build/lib/libmend-asan.so" ] ||
  { echo "skipped: AddressSanitizer iterates over objects before dl_iterate_phdr can be mend's"; exit 77; }
cd "$work"
echo '#include <gc.h>' | clang-22 -x c - -c -o probe.o 2>/dev/null ||
  { echo "skipped: libgc-dev is not installed"; exit 77; }

cat >program.c <<'CODE'
#include <dlfcn.h>
#include <gc.h>
#include <stdio.h>
#include <string.h>

struct link { struct link* next; int value; };
static struct link* list; /* zero-filled */
static struct link** lists[] = {&list};

static void collect(void) {
  for (int i = 0; i < 20000; ++i) memset(GC_MALLOC(sizeof(struct link)), 0xee, sizeof(struct link));
  GC_gcollect();
}

static long sum(struct link* link) {
  long result = 0;
  int count = 0;
  for (; link != NULL && count < 2000; link = link->next, ++count) result += link->value;
  return count == 1000 ? result : -count;
}

__attribute__((noinline)) int version(void) { return 1; }

static void loop(void* (*of_module)(void)) {
  char line[16];
  while (fgets(line, sizeof line, stdin) != NULL) {
    for (int i = 0; i < 5; ++i) collect();
    printf("%d %ld %ld\n", version(), sum(list), sum(of_module()));
    fflush(stdout);
  }
}

int main(void) {
  GC_INIT();
  void* const module = dlopen("./module.so", RTLD_NOW);
  void (*add)(int) = (void (*)(int))dlsym(module, "add");
  void* (*of_module)(void) = (void* (*)(void))dlsym(module, "list_of_module");
  for (int i = 0; i < 1000; ++i) {
    struct link* link = GC_MALLOC(sizeof *link);
    *link = (struct link){*lists[0], i};
    *lists[0] = link;
    add(i);
  }
  loop(of_module);
  return 0;
}
CODE
cat >module.c <<'CODE'
#include <gc.h>
struct link { struct link* next; int value; };
static struct link* list;
void add(int value) {
  struct link* link = GC_MALLOC(sizeof *link);
  *link = (struct link){list, value};
  list = link;
}
void* list_of_module(void) { return list; }
CODE
"$patchc" cc -O2 -shared module.c -o module.so
"$patchc" cc -O2 program.c -o program -lgc
start ./program
ask collect "1 499500 499500"
await_target
mkdir edited
sed 's/return 1;/return 2;/' program.c >edited/program.c
expect_code 0 "$patchc" apply --to "$hosted_pid" edited/program.c
ask collect "2 499500 499500"
finish
