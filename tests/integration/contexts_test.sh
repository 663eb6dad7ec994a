# Contexts (makecontext, swapcontext): what is suspended inside of a replaced function holds a
# transition up, by name; a context takes its patch state along to the thread that runs it; and a stack
# that was freed or is used for something else holds nothing up.
. "$(dirname "$0")/lib.sh"
[ ! -e "$build/lib/libmend-asan.so" ] ||
  { echo "skipped: AddressSanitizer puts its own swapcontext in front of mend's"; exit 77; }

cat >"$work/serve.c" <<'SOURCE'
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { kBytes = 64 * 1024 };
static ucontext_t main_context, context;
static char* stack;

__attribute__((noinline)) int first(void) { return 1; }
__attribute__((noinline)) int second(void) { return 1; }

/* One unit, left in its middle: what it calls must agree. */
__attribute__((noinline)) void answer(ucontext_t* from, ucontext_t* to) {
  int before = first();
  swapcontext(from, to);
  printf("%d %d\n", before, second());
  fflush(stdout);
}

static void begin(int low, int high) {
  if (low != 7 || high != 8) abort();
  answer(&context, &main_context);
}

static void make(void) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kBytes;
  context.uc_link = &main_context;
  makecontext(&context, (void (*)(void))begin, 2, 7, 8);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void* elsewhere(void* unused) {
  swapcontext(&main_context, &context);
  return unused;
}

int main(void) {
  char line[64];
  stack = mmap(0, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strcmp(line, "begin")) {
      make();
      swapcontext(&main_context, &context);
    } else if (!strcmp(line, "resume")) {
      swapcontext(&main_context, &context);
    } else if (!strcmp(line, "move")) {
      pthread_t thread;
      pthread_create(&thread, 0, elsewhere, 0);
      pthread_join(thread, 0);
    } else if (!strcmp(line, "unmap")) {
      munmap(stack, kBytes);
    } else if (!strcmp(line, "map")) {
      stack = mmap(0, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else if (!strcmp(line, "reuse")) {
      memset(stack, 0x5a, kBytes);
    } else if (!strcmp(line, "fork")) {
      pid_t child = fork();
      if (child == 0) {
        swapcontext(&main_context, &context);
        _exit(0);
      }
      waitpid(child, 0, 0);
    } else if (!strcmp(line, "version")) {
      printf("%d%d\n", first(), second());
      fflush(stdout);
      continue;
    }
    printf("done\n");
    fflush(stdout);
  }
  return 0;
}
SOURCE
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve" -lpthread
mkdir "$work/new"
sed 's/return 1;/return 2;/; s/"%d %d\\n"/"%d  %d\\n"/' "$work/serve.c" >"$work/new/serve.c"
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/serve" "$work/new/serve.c" >/dev/null
start "$work/serve"
await_target

apply=("$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid")
ask_no_more() { hear; expect "after '$1'" done "$answer"; }
disable() { "$mend" disable "$hosted_pid" fix >/dev/null; }
# patched in mid-transition: those who are in no unit run the new code.
await_version() { await "the version is $1" has_version "$1"; }
has_version() {
  say version
  read -r -t 20 -u 8 answer && [ "$answer" = "$1" ]
}

# A suspended context in the middle of a unit: waited for, by name.
ask begin done
expect_code 5 "${apply[@]}" --timeout 0.5 --on-timeout wait
expect_match "who is waited for" "suspended context.* in (answer|swapcontext)" "$output"
expect_match "threads" "suspended context" "$("$mend" threads "$hosted_pid")"
await_version 22
# It ends as it began, in the thread that has switched; which is switched again afterwards.
ask resume "1 1"
ask_no_more resume
"$mend" wait "$hosted_pid" --timeout 10 >/dev/null || fail "the transition does not end"
await_version 22
disable

# The same, resumed by another thread, which is new and has inherited the new state.
ask begin done
expect_code 5 "${apply[@]}" --timeout 0.3 --on-timeout wait
await_version 22
ask move "1 1"
ask_no_more move
"$mend" wait "$hosted_pid" --timeout 10 >/dev/null || fail "the transition does not end"
disable

# In a forked child, whose other threads are gone, and in the parent again.
ask begin done
expect_code 5 "${apply[@]}" --timeout 0.3 --on-timeout wait
ask fork "1 1"
ask_no_more fork
ask resume "1 1"
ask_no_more resume
"$mend" wait "$hosted_pid" --timeout 10 >/dev/null || fail "the transition does not end"
disable

# Suspended in new code, and the patch goes.
"${apply[@]}" >/dev/null
ask begin done
expect_code 5 "$mend" disable "$hosted_pid" fix --timeout 0.3 --on-timeout wait
await_version 11
ask resume "2  2"
ask_no_more resume
"$mend" wait "$hosted_pid" --timeout 10 >/dev/null || fail "the transition does not end"
"$mend" remove "$hosted_pid" fix >/dev/null

# What can not be gone back to holds nothing up: its stack is unmapped, or used for something else.
ask begin done
ask unmap done
"${apply[@]}" --timeout 5 >/dev/null
disable
ask map done
ask begin done
ask reuse done
"${apply[@]}" --timeout 5 >/dev/null
disable
# A context on the same stack takes the place of the one before.
ask begin done
ask begin done
ask resume "1 1"
ask_no_more resume
"${apply[@]}" --timeout 5 >/dev/null
disable
