/* A program with its own malloc. */
#define _GNU_SOURCE
#include "pool_malloc.h"
#include "uses.h"

int main(void) {
  use_all();
  void (*release)(void*) = free;
  release(strdup("by its address"));
  puts("done");
  return 0;
}
