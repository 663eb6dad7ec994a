# The end of a program, with requests coming in: what requests use is taken away by exit handlers and
# destructors, so nobody is served from the beginning of `exit` on, and those who are are waited for.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >ending.c <<'C'
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char* text) {
  puts(text);
  fflush(stdout);
}

/* Registered before the first request: what the HTTP library has built by then goes before this. */
static void last(void) {
  char line[80];
  say("ending");
  if (fgets(line, sizeof line, stdin) == NULL) return;
  say("ended");
}

static void* leave(void* unused) {
  (void)unused;
  exit(5);
}

int main(void) {
  char line[80] = "";
  atexit(last);
  say("ready");
  if (fgets(line, sizeof line, stdin) == NULL) return 1;
  if (strcmp(line, "exit\n") == 0) exit(4);
  if (strcmp(line, "thread\n") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, leave, NULL);
    pthread_join(thread, NULL);
  }
  if (strcmp(line, "err\n") == 0) errx(6, "the program's error");
  return 3;
}
C
cat >stuck.c <<'C'
#include <mend/livepatch.h>
#include <stdio.h>
#include <unistd.h>
static int stay(void) {
  FILE* file = fopen("in_init", "w");
  fclose(file);
  for (;;) pause();
}
MEND_MODULE_INIT(stay);
C
"$patchc" cc -O1 -pthread ending.c -o ending
"$patchc" cc -O1 -shared stuck.c -o stuck.so

# errx ends the process inside libc.
for way in return:3 exit:4 thread:5 err:6; do
  start ./ending
  hear
  # Whoever is connected is not answered any more, and not waited for in vain.
  "$mend" events --follow "$hosted_pid" >followed 2>&1 &
  started+=("$!")
  expect_code 0 "$mend" status "$hosted_pid"
  ask "${way%:*}" ending
  for request in status threads ls; do
    expect_code 6 "$mend" "$request" "$hosted_pid"
  done
  ask "go on" ended
  finish "${way#*:}"
done

# A request that does not end holds up the end for a moment, not for ever.
start ./ending
hear
rm -f in_init
"$mend" load "$hosted_pid" "$work/stuck.so" >load.log 2>&1 &
started+=("$!")
await "the module's init has begun" test -e in_init
ask exit ending
ask "go on" ended
finish 4
