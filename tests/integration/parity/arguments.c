/* Arguments, environment and input as given; an exit code of its own. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv, char** envp) {
  char line[64];
  printf("%d %s\n", argc, argv[0]);
  for (int i = 1; i < argc; ++i) printf("[%s]\n", argv[i]);
  printf("environment %s\n", envp[0] != NULL ? "given" : "missing");
  while (fgets(line, sizeof line, stdin) != NULL) printf("read %s", line);
  fprintf(stderr, "an error line\n");
  return 42;
}
