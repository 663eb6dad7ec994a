// exit() from another thread: constructors and destructors with priorities, atexit, on_exit.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor(101))) static void c1(void) { puts("c101"); }
__attribute__((constructor(200))) static void c2(void) { puts("c200"); }
__attribute__((constructor)) static void c3(int argc, char** argv, char** envp) {
  printf("c %d %d\n", argc, envp != 0);
}
__attribute__((destructor(101))) static void d1(void) { puts("d101"); }
__attribute__((destructor)) static void d2(void) { puts("d"); }
static void a(void) { puts("atexit"); }
static void q(void) {
  puts("at_quick_exit");
  fflush(stdout);
}
static void o(int s, void* p) { printf("on_exit %d %s\n", s, (char*)p); }
static void* t(void* x) { exit(9); }
int main(int argc, char** argv) {
  atexit(a);
  at_quick_exit(q);
  on_exit(o, "arg");
  if (argc > 1 && argv[1][0] == 'q') quick_exit(4);
  pthread_t h;
  pthread_create(&h, 0, t, 0);
  pthread_join(h, 0);
  return 0;
}
