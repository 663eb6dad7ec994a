// Threads that libc makes by itself for SIGEV_THREAD have the program's thread-locals, with their
// initial values.
// Also with: -Wl,-z,norelro
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static __thread int counter = 7;
static __thread char text[20000] = "initial";
static __thread int zero;
static sem_t told;
static char heard[100];

static void notify(union sigval value) {
  snprintf(heard, sizeof heard, "%d: %d %s %d", value.sival_int, counter++, text, zero++);
  strcpy(text, "changed");
  sem_post(&told);
}

static struct sigevent event_of(int number) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = notify;
  event.sigev_value.sival_int = number;
  return event;
}

static void await_notice(const char* what) {
  while (sem_wait(&told) != 0) continue;
  printf("%s %s\n", what, heard);
}

int main(void) {
  sem_init(&told, 0, 0);
  struct sigevent event = event_of(1);
  timer_t timer;
  const struct itimerspec soon = {{0, 0}, {0, 1000000}};
  printf("%d\n", timer_create(CLOCK_MONOTONIC, &event, &timer));
  for (int i = 0; i < 3; ++i) {
    timer_settime(timer, 0, &soon, NULL);
    await_notice("timer");
  }
  timer_delete(timer);

  // A stack that has room for the program's own thread-locals.
  pthread_attr_t attributes_of_thread;
  pthread_attr_init(&attributes_of_thread);
  printf("%d\n", pthread_attr_setstacksize(&attributes_of_thread, 64 << 10));
  event.sigev_notify_attributes = &attributes_of_thread;
  printf("%d\n", timer_create(CLOCK_MONOTONIC, &event, &timer));
  pthread_attr_destroy(&attributes_of_thread);
  timer_settime(timer, 0, &soon, NULL);
  await_notice("small");
  timer_delete(timer);

  FILE* const file = tmpfile();
  char bytes[] = "bytes";
  struct aiocb request;
  memset(&request, 0, sizeof request);
  request.aio_fildes = fileno(file);
  request.aio_buf = bytes;
  request.aio_nbytes = sizeof bytes;
  request.aio_sigevent = event_of(2);
  printf("%d\n", aio_write(&request));
  await_notice("aio");
  printf("%zd\n", aio_return(&request));

  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  struct gaicb name = {.ar_name = "127.0.0.1", .ar_request = &hints};
  struct gaicb* names[] = {&name};
  event = event_of(3);
  printf("%d\n", getaddrinfo_a(GAI_NOWAIT, names, 1, &event));
  await_notice("name");
  printf("%d\n", gai_error(&name));

  char queue_name[32];
  snprintf(queue_name, sizeof queue_name, "/mend-%d", getpid());
  struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 8};
  const mqd_t queue = mq_open(queue_name, O_CREAT | O_RDWR, 0600, &attributes);
  mq_unlink(queue_name);
  if (queue != (mqd_t)-1) {
    event = event_of(4);
    printf("%d\n", mq_notify(queue, &event));
    mq_send(queue, "m", 1, 0);
    await_notice("queue");
  }
  printf("%d %s %d\n", counter, text, zero);
}
