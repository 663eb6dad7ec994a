/* A program that a library of its link refers to by name. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct program_table {
  int (*handler)(int);
  const char* name;
  int calls;
};

int fire(int n);
int is_default(int (*handler)(int));
int read_all(void);

int on_event(int n) { return n * 2; }
int default_handler(int n) { return n + 1; }
int program_level = 5;
int program_numbers[1000];
char program_name[16] = "program";
struct program_table program_table = {on_event, "a table", 0};

int main(void) {
  printf("%d %s\n", program_level, program_name);
  program_numbers[0] = 1000;
  printf("%d %d %d\n", fire(21), is_default(default_handler), read_all());
  program_table.handler = default_handler;
  /* One that comes later, and means the same. */
  void* late = dlopen("./late.so", RTLD_NOW);
  if (late == NULL) puts(dlerror());
  int (*also_default)(int (*)(int)) = (int (*)(int (*)(int)))dlsym(late, "also_default");
  printf("%d\n", also_default(default_handler));
  program_level = 7;
  printf("%d %d %d\n", read_all(), program_numbers[999], program_table.calls);
  return 0;
}
