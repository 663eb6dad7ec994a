/* Opens, asks and closes guest modules as its input says, a word and a file or symbol a line. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int shared_value = 7;
int only_by_name(void) { return 41; }

void* handle;

static void answer(const char* command, const char* operand) {
  if (strcmp(command, "open") == 0) {
    void* opened = dlopen(operand, RTLD_NOW);
    if (opened != NULL) handle = opened;
    printf("%s\n", opened != NULL ? "opened" : dlerror());
  } else if (strcmp(command, "call") == 0) {
    int (*function)(int) = (int (*)(int))dlsym(handle, operand);
    if (function != NULL) {
      printf("%d\n", function(3));
    } else {
      printf("%s\n", dlerror());
    }
  } else if (strcmp(command, "close") == 0) {
    printf("%s\n", dlclose(handle) == 0 ? "closed" : dlerror());
  } else if (strcmp(command, "global") == 0) {
    int (*function)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, operand);
    printf("%d\n", function != NULL ? function() : -1);
  } else {
    printf("?\n");
  }
  fflush(stdout);
}

int main(void) {
  char command[16], operand[512];
  puts("ready");
  fflush(stdout);
  while (scanf("%15s %511s", command, operand) == 2) answer(command, operand);
  return 0;
}
