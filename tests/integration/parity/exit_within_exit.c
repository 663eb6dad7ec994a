// exit() within an exit handler, and handlers that register others.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void a1(void) { puts("a1"); }
static void a3(void) {
  puts("a3");
  atexit(a1);
  exit(12);
}
static void o1(int s, void* p) { printf("o1 %d\n", s); }
static void o2(int s, void* p) {
  printf("o2 %d\n", s);
  on_exit(o1, 0);
}
__attribute__((destructor)) static void d(void) { puts("d"); }
int main(void) {
  atexit(a1);
  on_exit(o2, 0);
  atexit(a3);
  return 3;
}
