/* A library that allocates before the program's malloc is there, and hands it out later. */
#include <stdlib.h>
#include <string.h>

static char* text;
static char* growing;

__attribute__((constructor)) static void begin(void) {
  text = strdup("from a constructor");
  growing = malloc(30);
  strcpy(growing, "to grow");
}

char* take_text(void) { return text; }
char* take_growing(void) { return growing; }
char* grow(char* block) { return realloc(block, 100000); }
