#!/usr/bin/env bash
# Libc's word for "one thread" is as natively until an operator calls: it is taken back from wherever the
# program is, and allocation goes on undisturbed; calls that change credentials reach every thread.
. "$(dirname "$0")/lib.sh"

cat >"$work/single.c" <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "thread_status.h"

extern char __libc_single_threaded;
static volatile int stop_spinning;

static void *Nothing(void *unused) { return unused; }
static void Stop(int number) { stop_spinning = number; }
static sigjmp_buf place;
static void Jump(int number) { siglongjmp(place, number); }
// Leaves a handler by a jump, out of a handler's handler too; on the handlers' own stack, or not.
static void Raise(int number) { raise(SIGALRM); (void)number; }
static void LeaveHandlers(int flags) {
  static char stack[1 << 16];
  const stack_t handlers = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&handlers, NULL);
  struct sigaction jump = {.sa_handler = Jump, .sa_flags = flags}, raised = {.sa_handler = Raise, .sa_flags = flags};
  sigaction(SIGALRM, &jump, NULL);
  sigaction(SIGVTALRM, &raised, NULL);
  if (sigsetjmp(place, 1) == 0) raise(SIGALRM);
  if (sigsetjmp(place, 1) == 0) raise(SIGVTALRM);
}

// Sleeps where the program may have been in the middle of anything.
static void Nap(int number) { (void)number; usleep(30000); }

// Allocates until the word is taken back (or 20 s have passed), and counts what came out damaged.
static int Allocate(void) {
  enum { kBlocks = 512 };
  static unsigned char *blocks[kBlocks];
  static size_t sizes[kBlocks];
  unsigned seed = 1;
  int damaged = 0;
  const time_t end = time(NULL) + 20;
  for (long i = 0; (__libc_single_threaded || i % 4096 != 0) && time(NULL) < end; ++i) {
    const int at = (int)((seed = seed * 1103515245u + 12345u) >> 16) % kBlocks;
    for (size_t j = 0; blocks[at] != NULL && j < sizes[at]; ++j) damaged += blocks[at][j] != (unsigned char)at;
    free(blocks[at]);
    sizes[at] = 1 + (seed >> 8) % 600;
    blocks[at] = malloc(sizes[at]);
    memset(blocks[at], at, sizes[at]);
  }
  return damaged;
}

int main(void) {
  char line[64];
  signal(SIGUSR1, Stop);
  signal(SIGUSR2, Nap);
  while (fgets(line, sizeof line, stdin) != NULL) {
    int answer = __libc_single_threaded;
    if (strcmp(line, "allocate\n") == 0) answer = Allocate();
    if (strcmp(line, "leave\n") == 0) LeaveHandlers(0);
    if (strcmp(line, "leave stack\n") == 0) LeaveHandlers(SA_ONSTACK);
    if (strcmp(line, "spin\n") == 0) {
      for (unsigned long i = 0; !stop_spinning; ++i) __asm__ volatile("" : : "r"(i));
      answer = __libc_single_threaded;
    }
    if (strcmp(line, "uid\n") == 0) answer = 10 * DifferentThreads("Uid:") + (seteuid(65534) != 0) + 100 * DifferentThreads("Uid:");
    if (strcmp(line, "thread\n") == 0) {
      pthread_t thread;
      pthread_create(&thread, NULL, Nothing, NULL);
      pthread_join(thread, NULL);
      answer = __libc_single_threaded;
    }
    printf("%d\n", answer);
    fflush(stdout);
  }
  return 0;
}
C
# Large enough for its units to be linked by several threads, which are gone when it starts.
echo 'char room[1 << 20] = {1};' >"$work/room.c"
"$patchc" cc -O2 -pthread -I"$source_root/tests/integration" "$work/single.c" "$work/room.c" -o "$work/single"

case $(getconf GNU_LIBC_VERSION) in
  "glibc 2.35") echo "skipped: libc decides otherwise before 2.36"; exit 77 ;;
esac

# fresh: a process that nobody has called yet.
fresh() {
  start "$work/single"
  await_target
  ask word 1
}

fresh
expect_code 0 "$mend" status "$hosted_pid"
ask word 0  # taken back while it slept in a read
finish

for _ in 1 2 3; do
  fresh
  say allocate
  sleep 0.1
  expect_code 0 "$mend" status "$hosted_pid"
  hear
  expect "damaged bytes" 0 "$answer"
  expect_code 0 "$mend" status "$hosted_pid"
  finish
done

# Handlers that sleep, on top of what may be an allocation.
fresh
say allocate
for _ in 1 2 3 4 5; do
  kill -USR2 "$hosted_pid"
  sleep 0.02
done
expect_code 0 "$mend" status "$hosted_pid"
hear
expect "damaged bytes, with handlers that sleep" 0 "$answer"
finish

fresh
say spin
await_running
expect_code 0 "$mend" status "$hosted_pid"
kill -USR1 "$hosted_pid"
hear
expect "the word after a loop without calls" 0 "$answer"
finish

# A handler that was left by a jump is over.
for how in leave "leave stack"; do
  fresh
  ask "$how" 1
  say spin
  await_running
  expect_code 0 timeout 20 "$mend" status "$hosted_pid"
  kill -USR1 "$hosted_pid"
  hear
  expect "the word after a loop without calls, and a handler that was left" 0 "$answer"
  finish
done

# As natively: the program's own thread ends it, and it stays so.
fresh
ask thread 0
expect_code 0 "$mend" status "$hosted_pid"
finish

if [ "$(id -u)" -eq 0 ]; then
  fresh
  ask uid 0   # no thread has other credentials than the others
  ask word 1
  finish
fi
