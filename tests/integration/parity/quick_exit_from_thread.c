// quick_exit() from a thread, with handlers that register others.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void q1(void) {
  puts("q1");
  fflush(stdout);
}
static void q2(void) {
  puts("q2");
  fflush(stdout);
  at_quick_exit(q1);
}
static void a(void) { puts("never"); }
static void* t(void* p) { quick_exit(6); }
int main(void) {
  at_quick_exit(q1);
  at_quick_exit(q2);
  atexit(a);
  pthread_t h;
  pthread_create(&h, 0, t, 0);
  for (;;) pause();
}
