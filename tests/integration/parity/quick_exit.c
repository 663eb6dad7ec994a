// quick_exit runs its own handlers and no others.
#include <stdio.h>
#include <stdlib.h>
static void q(void) {
  puts("at_quick_exit");
  fflush(stdout);
}
static void a(void) { puts("never"); }
int main(void) {
  at_quick_exit(q);
  atexit(a);
  quick_exit(4);
}
