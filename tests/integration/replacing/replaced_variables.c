/* Variables that libc defines, for a program to define them. */
#include <argp.h>
#include <stddef.h>

const char* argp_program_version = "replaced variables 1.0";
const char* argp_program_bug_address = "nobody";
static struct argp parser = {NULL, NULL, NULL, "what it does", NULL, NULL, NULL};

int main(void) {
  char* arguments[] = {"program", "--version", NULL};
  argp_parse(&parser, 2, arguments, 0, NULL, NULL);
  return 1;
}
