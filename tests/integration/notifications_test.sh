# Threads that libc makes by itself for SIGEV_THREAD count while they run the program's function: a unit
# that one of them begins while a transition runs sees one version, too.
. "$(dirname "$0")/lib.sh"
cd "$work"
. "$source_root/tests/integration/unit_versions.sh"

cat >serve.c <<'SOURCE'
#define _GNU_SOURCE
#include <aio.h>
#include <mqueue.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline)) int first(void) { return 1; }
__attribute__((noinline)) int second(void) { return 1; }

/* Computes, and makes no call that may sleep, until it is told. */
static int ticks_done;
__attribute__((noinline)) void tick(union sigval until) {
  struct stat status;
  int before = first();
  printf("ticking %d\n", before);
  fflush(stdout);
  while (stat(until.sival_ptr, &status) != 0) {
  }
  printf("ticked %d %d\n", before, second());
  fflush(stdout);
  __atomic_add_fetch(&ticks_done, 1, __ATOMIC_SEQ_CST);
}

static struct sigevent event_of(void) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = tick;
  event.sigev_value.sival_ptr = (void*)"go";
  return event;
}

static void start_timer(void) {
  struct sigevent event = event_of();
  timer_t timer;
  const struct itimerspec soon = {{0, 0}, {0, 1000000}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) timer_settime(timer, 0, &soon, NULL);
}

static void write_in_background(void) {
  static struct aiocb request;
  memset(&request, 0, sizeof request);
  request.aio_fildes = open("/dev/null", O_WRONLY);
  request.aio_buf = "bytes";
  request.aio_nbytes = 5;
  request.aio_sigevent = event_of();
  aio_write(&request);
}

#include "held.h"

int main(void) {
  char line[64];
  pthread_t thread;
  if (pipe(held) != 0) return 1;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strcmp(line, "timer")) {
      start_timer();
      continue;
    } else if (!strcmp(line, "aio")) {
      write_in_background();
      continue;
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
"$patchc" cc -O2 -pthread -o serve serve.c
build_fix tick

for kind in timer aio; do
  rm -f go
  start ./serve
  await_target
  ask hold done
  expect_code 5 "$patchc" apply --timeout 0.1 --on-timeout wait fix.mendpatch --to "$hosted_pid"
  # Begins in the middle of the transition, without a frame of old code: it joins in.
  say "$kind"
  hear
  version=${answer#ticking }
  expect_match "$kind: the beginning" "^ticking [12]$" "$answer"
  ask release done
  "$mend" wait "$hosted_pid" --timeout 2 >wait.log 2>&1 || true
  touch go
  hear
  expect "$kind: a unit that began while the transition ran" "ticked $version $version" "$answer"
  expect_code 0 "$mend" wait "$hosted_pid" --timeout 20
  ask values "2 2"
  finish
  echo "ok $kind"
done
