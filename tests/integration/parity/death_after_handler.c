// A fault in a thread, after the program's own handler has taken itself off.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void* die(void* p) {
  *(volatile int*)8 = 1;
  return 0;
}
static void h(int s) {
  write(1, "handler\n", 8);
  signal(s, SIG_DFL);
}
int main(void) {
  signal(SIGSEGV, h);
  pthread_t t;
  pthread_create(&t, 0, die, 0);
  pthread_join(t, 0);
}
