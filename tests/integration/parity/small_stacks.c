// Threads on the smallest stacks, with signal stacks of the least size, nested, and those that
// cannot be.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void* small(void* p) {
  char b[8000];
  memset(b, 1, sizeof b);
  FILE* f = fopen("/dev/null", "w");
  fclose(f);
  void* q = malloc(100);
  free(q);
  usleep(10);
  return (void*)(long)b[7999];
}
static void* deep(void* p) {
  char b[11000];
  memset(b, 2, sizeof b);
  close(open("/dev/null", 0));
  return (void*)(long)b[0];
}

static void h(int s) {
  char b[1000];
  memset(b, 0, 1000);
}
static void* alt(void* p) {
  stack_t ss = {.ss_sp = malloc(MINSIGSTKSZ), .ss_size = MINSIGSTKSZ};
  int r = sigaltstack(&ss, 0);
  struct sigaction a = {.sa_handler = h, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &a, 0);
  raise(SIGUSR1);
  return (void*)(long)r;
}
static void* nest(void* p) {
  long d = (long)p;
  if (d == 0) return 0;
  pthread_attr_t a;
  pthread_attr_init(&a);
  pthread_attr_setstacksize(&a, PTHREAD_STACK_MIN);
  pthread_t t;
  int e = pthread_create(&t, &a, nest, (void*)(d - 1));
  if (e) return (void*)(long)e;
  void* r;
  pthread_join(t, &r);
  return (void*)((long)r + 1);
}
int main(void) {
  pthread_attr_t a;
  pthread_attr_init(&a);
  pthread_attr_setstacksize(&a, PTHREAD_STACK_MIN);
  pthread_attr_setguardsize(&a, 0);
  pthread_t t;
  void* r;
  pthread_create(&t, &a, small, 0);
  pthread_join(t, &r);
  printf("%ld\n", (long)r);
  char* s = mmap(0, 16384, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("%d\n", pthread_attr_setstack(&a, s, 16384));
  printf("%d\n", pthread_create(&t, &a, deep, 0));
  pthread_join(t, &r);
  printf("%ld\n", (long)r);
  pthread_create(&t, 0, alt, 0);
  pthread_join(t, &r);
  printf("%ld\n", (long)r);
  nest(0);
  printf("%ld\n", (long)nest((void*)200));
  size_t g;
  pthread_attr_t b;
  pthread_getattr_default_np(&b);
  pthread_attr_getstacksize(&b, &g);
  printf("%zu\n", g);
  pthread_attr_getguardsize(&b, &g);
  printf("%zu\n", g);
  printf("%d\n", pthread_attr_setstacksize(&a, 1000));
  pthread_attr_init(&a);
  pthread_attr_setstacksize(&a, 1UL << 46);
  printf("%s\n", strerror(pthread_create(&t, &a, small, 0)));
  pthread_attr_init(&a);
  pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
  cpu_set_t cs;
  CPU_ZERO(&cs);
  CPU_SET(900, &cs);
  pthread_attr_setaffinity_np(&a, sizeof cs, &cs);
  printf("%s\n", strerror(pthread_create(&t, &a, small, 0)));
}
