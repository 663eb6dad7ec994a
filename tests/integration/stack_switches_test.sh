# A coroutine that was left in the middle of a unit, on a stack on which nothing ever blocked and
# nobody answered: that the program goes to such stacks is noted when the function runs that does it, in
# inline assembly, in a naked function, outside of functions, in a source in assembler, and in a shared
# library that hosted code or another library calls.
. "$(dirname "$0")/lib.sh"
cd "$work"
. "$source_root/tests/integration/unregistered_stacks.sh"

cat >"$work/go.h" <<'SOURCE'
#define SAVE "pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15;"
#define LOAD "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret;"
SOURCE
cat >"$work/go_inline.c" <<'SOURCE'
__attribute__((noinline)) void go(void** save, void* load) {
  __asm__ volatile(
      "leaq -128(%%rsp), %%rsp; leaq 1f(%%rip), %%rax; pushq %%rax;"
      "pushq %%rbp; pushq %%rbx; pushq %%r12; pushq %%r13; pushq %%r14; pushq %%r15;"
      "movq %%rsp, (%0); movq %1, %%rsp;"
      "popq %%r15; popq %%r14; popq %%r13; popq %%r12; popq %%rbx; popq %%rbp; ret;"
      "1: leaq 128(%%rsp), %%rsp"
      : "+D"(save), "+S"(load)
      :
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
}
SOURCE
cat >"$work/go_naked.c" <<'SOURCE'
#include "go.h"
__attribute__((naked, noinline)) void go(void** save, void* load) {
  __asm__(SAVE "movq %rsp, (%rdi); movq %rsi, %rsp;" LOAD);
}
SOURCE
cat >"$work/go_outside.c" <<'SOURCE'
#include "go.h"
__asm__(".globl go; .type go, @function; go:" SAVE "movq %rsp, (%rdi); movq %rsi, %rsp;" LOAD
        ".size go, . - go");
SOURCE
# As libco has it: from memory, through another register. And what must not be taken for one: a frame
# that is aligned, and left by a saved stack pointer.
cat >"$work/go_source.S" <<'SOURCE'
  .text
  .globl aligned
  .type aligned, @function
aligned:
  movq %rsp, %rax
  subq $64, %rsp
  andq $-64, %rsp
  movq %rax, 8(%rsp)
  movq 8(%rsp), %rsi
  movq %rdi, %rax
  leaq (%rsi), %rsp
  ret
  .size aligned, . - aligned
  .globl go
go:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %r11
  xchgq %r11, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .section .note.GNU-stack, "", @progbits
SOURCE
cat >"$work/serve.c" <<'SOURCE'
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void go(void** save, void* load);
__attribute__((weak)) long aligned(long value);

static char fiber_stack[256 * 1024] __attribute__((aligned(16)));
static void *fiber_sp, *main_sp;

__attribute__((noinline)) int first(void) { return 1; }
__attribute__((noinline)) int second(void) { return 1; }

/* One unit, left in its middle: what it calls must agree. */
static int before, after;
__attribute__((noinline)) void answer(void) {
  before = first();
  go(&fiber_sp, main_sp);
  after = second();
}

static void run_fiber(void) {
  while (1) {
    answer();
    go(&fiber_sp, main_sp);
  }
}

static void begin(void) {
  void** top = (void**)(fiber_stack + sizeof fiber_stack) - 8;
  memset(top, 0, 64);
  top[6] = (void*)&run_fiber;
  fiber_sp = top;
  go(&main_sp, fiber_sp);
}

#include "held.h"

int main(void) {
  char line[64];
  pthread_t thread;
  if (pipe(held) != 0) return 1;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strcmp(line, "begin")) {
      begin();
    } else if (!strcmp(line, "resume")) {
      go(&main_sp, fiber_sp);
      printf("%d %d\n", before, after);
      fflush(stdout);
      continue;
    } else if (!strcmp(line, "align")) {
      if (aligned && aligned(7) != 7) return 1;
    } else if (!strcmp(line, "hold")) {
      pthread_create(&thread, 0, hold, 0);
    } else if (!strcmp(line, "release")) {
      if (write(held[1], "x", 1) != 1) return 1;
      pthread_join(thread, 0);
    } else {
      printf("%d %d\n", first(), second());
      fflush(stdout);
      continue;
    }
    puts("done");
    fflush(stdout);
  }
  return 0;
}
SOURCE
make_fix

# As the system's libboost_context.so has it, and a library of fibers above it.
clang-22 -shared -o libgo.so go_source.S -Wl,-soname,libgo.so
cat >hop.c <<'SOURCE'
void go(void** save, void* load);
void hop(void** save, void* load) {
  go(save, load);
  __asm__ volatile("");
}
SOURCE
clang-22 -O1 -fPIC -shared -o libhop.so hop.c -L. -lgo -Wl,-soname,libhop.so

for source in go_inline.c go_naked.c go_outside.c go_source.S "-lgo" "-Dgo=hop -lhop -lgo"; do
  # shellcheck disable=SC2086
  "$patchc" cc -O2 -pthread -o serve serve.c $source -L. -Wl,-rpath,"$work"
  build_fix answer

  # The program has such code, and has not run it.
  start ./serve
  await_target
  ask align done
  seen_is "$source" none
  expect_code 0 "$patchc" apply fix.mendpatch --to "$hosted_pid"
  ask values "2 2"
  expect_code 0 "$mend" disable "$hosted_pid" fix
  expect_code 0 "$mend" remove "$hosted_pid" fix

  # Once it has: the unit that waits on the other stack is in nobody's walk.
  ask begin done
  expect_match "$source: the attribute" "^go has gone to a stack" "$("$mend" get "$hosted_pid" $attribute)"
  expect_code 3 "$patchc" apply fix.mendpatch --to "$hosted_pid"
  expect_match "$source: the refusal" "MEND-E0144: go has gone to a stack.*set TARGET $attribute ignore" "$output"
  ask values "1 1"
  ask resume "1 1"

  # What the refusal is for: in the middle of the unit, where it is ignored, it sees both.
  ask begin done
  expect_code 0 "$mend" set "$hosted_pid" $attribute ignore
  expect_code 0 "$patchc" apply fix.mendpatch --to "$hosted_pid"
  ask resume "1 2"
  finish

  holds_up_a_transition "$source" "go has gone to a stack"
done

# A guest module that is linked with such a library, which the program is not.
"$patchc" cc -O2 -fPIC -shared -pthread -Dmain=serve -o serve.so serve.c -L. -lgo -Wl,-rpath,"$work"
cat >opens.c <<'SOURCE'
#include <dlfcn.h>
int main(void) {
  void* module = dlopen("./serve.so", RTLD_NOW);
  int (*serve)(void) = module ? (int (*)(void))dlsym(module, "serve") : 0;
  return serve ? serve() : 2;
}
SOURCE
"$patchc" cc -O2 -o opens opens.c
export LD_LIBRARY_PATH=$work
start ./opens
await_target
ask align done
seen_is "a module" none
ask begin done
expect_match "a module: the attribute" "^go has gone to a stack" "$("$mend" get "$hosted_pid" $attribute)"
finish
