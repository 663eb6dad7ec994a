/* Arguments, environment and input as given; an exit code of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char** environ;

/* Moves the environment. */
__attribute__((constructor)) static void set_variable(int argc, char** argv, char** envp) {
  printf("%d %d\n", argc, envp == environ);
  setenv("SET_BY_A_CONSTRUCTOR", "1", 1);
}

int main(int argc, char** argv, char** envp) {
  char line[64];
  printf("%d %s\n", argc, argv[0]);
  for (int i = 1; i < argc; ++i) printf("[%s]\n", argv[i]);
  printf("environment %s\n", envp[0] != NULL ? "given" : "missing");
  int found = 0;
  for (char** at = envp; *at != NULL; ++at) found += strcmp(*at, "SET_BY_A_CONSTRUCTOR=1") == 0;
  printf("%d %d\n", found, envp == environ);
  while (fgets(line, sizeof line, stdin) != NULL) printf("read %s", line);
  fprintf(stderr, "an error line\n");
  return 42;
}
