/* A program that does nothing but be there: it waits until its input ends, while guest modules and
 * patches come and go. */
#include <stdio.h>

int main(void) {
  char line[64];
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) fputs(line, stdout);
  return 0;
}
