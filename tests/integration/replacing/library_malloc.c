/* A program that is linked with an allocator. */
#define _GNU_SOURCE
#include "uses.h"

int main(void) {
  use_all();
  puts("done");
  return 0;
}
