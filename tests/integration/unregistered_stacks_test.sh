# Stacks that a program makes and goes to by assembler of its own: what is suspended on them is in
# nobody's walk. Once a thread has been seen on one, patches are refused by name, and a transition that
# runs waits, until the operator says otherwise or forces it.
. "$(dirname "$0")/lib.sh"
cd "$work"
. "$source_root/tests/integration/unregistered_stacks.sh"

cat >"$work/serve.c" <<'SOURCE'
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void MendFiberSwitch(void** save_sp, void* load_sp);

static char fiber_stack[256 * 1024] __attribute__((aligned(16)));
static char signal_stack[64 * 1024];
static void *fiber_sp, *main_sp;
static int ready[2];

__attribute__((noinline)) int first(void) { return 1; }
__attribute__((noinline)) int second(void) { return 1; }

static void sleep_a_little(int unused) {
  (void)unused;
  usleep(1000);
}

/* One unit, left in its middle: what it calls must agree. */
__attribute__((noinline)) void answer(int block) {
  char byte;
  int before = first();
  if (block && read(ready[0], &byte, 1) != 1) abort();
  MendFiberSwitch(&fiber_sp, main_sp);
  printf("%d %d\n", before, second());
  fflush(stdout);
}

static void run_fiber(void) {
  while (1) {
    answer(1);
    MendFiberSwitch(&fiber_sp, main_sp);
  }
}

static void begin(void) {
  void** top = (void**)(fiber_stack + sizeof fiber_stack) - 8;
  memset(top, 0, 64);
  top[6] = (void*)&run_fiber;
  fiber_sp = top;
  if (write(ready[1], "x", 1) != 1) abort();
  MendFiberSwitch(&main_sp, fiber_sp);
}

#include "held.h"

/* A handler on a signal stack that is part of the thread's own; it jumps to a frame below it. */
static sigjmp_buf outside, in_fiber;
static void jump_out(int unused) {
  (void)unused;
  siglongjmp(outside, 1);
}
__attribute__((noinline)) static int raise_and_return(void) {
  if (sigsetjmp(outside, 1) == 0) raise(SIGUSR2);
  return 1;
}
__attribute__((noinline)) static void jump_from_signal_stack(void) {
  char array[32 * 1024];
  stack_t stack = {.ss_sp = array, .ss_size = sizeof array}, none = {.ss_flags = SS_DISABLE};
  struct sigaction action = {.sa_handler = jump_out, .sa_flags = SA_ONSTACK};
  if (sigaltstack(&stack, 0) != 0 || sigaction(SIGUSR2, &action, 0) != 0) abort();
  if (raise_and_return() != 1 || sigaltstack(&none, 0) != 0) abort();
}

/* The unit again, on a fiber that was begun by a handler and is gone to by siglongjmp. */
__attribute__((noinline)) void answer_by_jumps(void) {
  int before = first();
  if (sigsetjmp(in_fiber, 0) == 0) siglongjmp(outside, 1);
  printf("%d %d\n", before, second());
  fflush(stdout);
  siglongjmp(outside, 1);
}
static void begin_by_signal(int unused) {
  (void)unused;
  if (sigsetjmp(in_fiber, 0) != 0) answer_by_jumps();
}
static void go_to_fiber(void) {
  if (sigsetjmp(outside, 0) == 0) siglongjmp(in_fiber, 1);
}
static void begin_by_jumps(void) {
  stack_t stack = {.ss_sp = fiber_stack, .ss_size = sizeof fiber_stack};
  stack_t none = {.ss_flags = SS_DISABLE};
  struct sigaction action = {.sa_handler = begin_by_signal, .sa_flags = SA_ONSTACK};
  if (sigaltstack(&stack, 0) != 0 || sigaction(SIGUSR2, &action, 0) != 0) abort();
  raise(SIGUSR2);
  if (sigaltstack(&none, 0) != 0) abort();
  go_to_fiber();
}

int main(void) {
  char line[64];
  pthread_t thread;
  if (pipe(ready) != 0 || pipe(held) != 0) return 1;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strcmp(line, "begin")) {
      begin();
    } else if (!strcmp(line, "resume")) {
      MendFiberSwitch(&main_sp, fiber_sp);
      continue;
    } else if (!strcmp(line, "begin by jumps")) {
      begin_by_jumps();
    } else if (!strcmp(line, "resume by jumps")) {
      go_to_fiber();
      continue;
    } else if (!strcmp(line, "jump")) {
      jump_from_signal_stack();
    } else if (!strcmp(line, "signal")) {
      stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
      struct sigaction action = {.sa_handler = sleep_a_little, .sa_flags = SA_ONSTACK};
      if (sigaltstack(&stack, 0) != 0 || sigaction(SIGUSR1, &action, 0) != 0) return 1;
      raise(SIGUSR1);
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
cp "$source_root/tests/simulation/fiber_switch.S" "$work/switch.S"
"$patchc" cc -O2 -pthread -o serve serve.c switch.S
make_fix
build_fix answer

# A program that never went to one; its signal stack is no such stack, and may be jumped out of.
start ./serve
await_target
ask jump done
ask signal done
seen_is "a program that never went to one" none
expect_code 0 "$patchc" apply fix.mendpatch --to "$hosted_pid"
ask go "2 2"
expect_code 0 "$mend" disable "$hosted_pid" fix
expect_code 0 "$mend" remove "$hosted_pid" fix

# Seen once, by its read: patches are refused with the thread and the call, and nothing has changed.
ask begin done
expect_match "$attribute" "serve \\($hosted_pid\\) was in read" \
  "$("$mend" get "$hosted_pid" $attribute)"
expect_code 3 "$patchc" apply fix.mendpatch --to "$hosted_pid"
expect_match "the refusal" "MEND-E0144.*serve \\($hosted_pid\\) was in read.*set TARGET $attribute ignore" "$output"
expect_code 3 "$patchc" apply --dry-run fix.mendpatch --to "$hosted_pid"
expect_match "the dry run" "MEND-E0144" "$output"
ask go "1 1"
expect "patches" "" "$("$mend" ls "$hosted_pid" livepatch)"
say resume
hear
expect "the unit that was left in its middle" "1 1" "$answer"

# On the operator's responsibility it goes on; and it can be taken back.
expect_code 3 "$mend" set "$hosted_pid" $attribute maybe
expect_match "a wrong value" "EINVAL" "$output"
expect_code 0 "$mend" set "$hosted_pid" $attribute ignore
seen_is "on the operator's responsibility" ignored
expect_code 0 "$patchc" apply fix.mendpatch --to "$hosted_pid"
ask go "2 2"
expect_code 0 "$mend" set "$hosted_pid" $attribute refuse
expect_code 3 "$mend" disable "$hosted_pid" fix
expect_match "taking it off" "EBUSY.*MEND-E0144" "$output"
ask go "2 2"
finish

# A fiber that is gone to by longjmp, and makes no call there that blocks.
start ./serve
await_target
ask "begin by jumps" done
expect_match "$attribute" "serve \\($hosted_pid\\) was in longjmp" \
  "$("$mend" get "$hosted_pid" $attribute)"
expect_code 3 "$patchc" apply fix.mendpatch --to "$hosted_pid"
expect_match "the refusal" "MEND-E0144.*in longjmp" "$output"
say "resume by jumps"
hear
expect "the unit that was left in its middle" "1 1" "$answer"
finish

# Seen while a transition runs.
holds_up_a_transition "a thread that was seen" "serve \\([0-9]+\\) was in read"
