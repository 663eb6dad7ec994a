/* Greets everyone whose name comes in on standard input, and counts them. */
#include <stdio.h>
#include <string.h>

static int greeted;

/* Not inlined: main never returns while the program runs, so a patch that changed main too (it
 * would contain a copy of this function) could never be completed. */
__attribute__((noinline)) void greet(const char* name) {
  greeted++;
  printf("Hello %s, you are number %d\n", name, greeted);
  fflush(stdout);
}

int main(void) {
  char line[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    greet(line);
  }
  printf("greeted %d\n", greeted);
  return 0;
}
