// Threads that libc makes by itself keep a process alive whose last other thread has ended: a timer
// goes on, and ends the process; a request that is done does not.
#include <aio.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int ticks;
static void tick(union sigval value) {
  const int now = __atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
  if (now == 1) {
    // The thread is the child's only one, and ends with this function.
    const pid_t child = fork();
    int status = -1;
    if (child == 0) return;
    waitpid(child, &status, 0);
    printf("child of a tick: %d\n", status);
    fflush(stdout);
  }
  if (now != value.sival_int) return;
  printf("tick %d\n", value.sival_int);
  exit(5);
}

static void say_end(void) {
  printf("ends after %s ticks\n", ticks == 0 ? "no" : ticks == 1 ? "the first" : "its");
  fflush(stdout);
}

static void* end_by_request(void* unused) {
  static struct aiocb request;
  request.aio_fildes = open("/dev/null", O_WRONLY);
  request.aio_buf = "bytes";
  request.aio_nbytes = 5;
  if (aio_write(&request) != 0) exit(1);
  pthread_exit(unused);
}

int main(void) {
  const pid_t child = fork();
  if (child == 0) {
    atexit(say_end);
    end_by_request(NULL);
  }
  int status = -1;
  waitpid(child, &status, 0);
  printf("child: %d\n", status);
  fflush(stdout);
  atexit(say_end);

  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = tick;
  event.sigev_value.sival_int = 3;
  timer_t timer;
  const struct itimerspec each = {{0, 300000000}, {0, 300000000}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return 1;
  timer_settime(timer, 0, &each, NULL);
  pthread_exit(NULL);
}
