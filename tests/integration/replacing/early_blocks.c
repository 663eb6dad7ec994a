/* A program that frees with its own functions, in one unit with them, what a library allocated
 * before it. */
#define _GNU_SOURCE
#include "pool_malloc.h"

#include <stdio.h>

char* take_text(void);
char* take_growing(void);
char* grow(char* block);

int main(void) {
  char* text = take_text();
  printf("%s %d\n", text, malloc_usable_size(text) >= 19);
  free(text);
  char* growing = realloc(take_growing(), 500);
  printf("%s %d\n", growing, is_of_pool(growing));
  growing = grow(growing);
  printf("%s %d\n", growing, is_of_pool(growing));
  free(growing);
  return 0;
}
