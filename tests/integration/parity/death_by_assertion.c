// A failed assertion.
#include <assert.h>
#include <stdio.h>
int main(void) {
  puts("assert");
  fflush(stdout);
  assert(1 == 2);
}
