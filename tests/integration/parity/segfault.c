/* A null pointer ends the program as natively. */
#include <stddef.h>
#include <stdio.h>

static int* volatile nowhere = NULL;

int main(void) {
  puts("before");
  fflush(stdout);
  return *nowhere;
}
