/* A library that refers to functions and data of the program, all at once (-z now). */
#include <stdio.h>
#include <string.h>

struct program_table {
  int (*handler)(int);
  const char* name;
  int calls;
};

int on_event(int);
int default_handler(int);
extern int program_level;
extern int program_numbers[1000];
extern char program_name[16];
extern struct program_table program_table;

int (*library_handler)(int) = default_handler; /* in data, with a relocation */

__attribute__((constructor)) static void begin(void) {
  /* It has its value before the program's constructors, and may be changed. */
  program_level += 100;
  strcpy(program_name, "by library");
}

int fire(int n) { return on_event(n) + library_handler(n); }
int is_default(int (*handler)(int)) {
  return handler == default_handler && handler == library_handler;
}
int read_all(void) {
  program_numbers[999] += program_level;
  ++program_table.calls;
  return program_numbers[0] + program_table.handler(1) + (int)strlen(program_table.name);
}
