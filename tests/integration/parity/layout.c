// What linkers define for where a program's text and variables begin and end.
#include <elf.h>
#include <stdio.h>
#include <string.h>
extern char etext, edata, end, __bss_start, data_start, __executable_start;
extern const Elf64_Ehdr __ehdr_start;
int initialised = 5;
int zeros[100000];
static int local_zeros[10];
int function(void) { return 3; }
static int within(const void* place, const char* from, const char* to) {
  return (const char*)place >= from && (const char*)place < to;
}
int main(void) {
  printf("text %d %d %d\n", within((void*)function, &__executable_start, &etext),
         within((void*)main, &__executable_start, &etext),
         within(&initialised, &__executable_start, &etext));
  printf("data %d %d %d %d\n", within(&initialised, &data_start, &edata),
         within(&zeros[99999], &data_start, &end), within(local_zeros, &data_start, &end),
         within((void*)main, &data_start, &end));
  printf("order %d\n", &data_start <= &edata && &edata <= &end && &__bss_start <= &end);
  // All of it can be read.
  unsigned long sum = 0;
  for (const char* p = &data_start; p < &end; ++p) sum += (unsigned char)*p;
  printf("read %d\n", sum > 0);
  printf("%d\n", memcmp(__ehdr_start.e_ident, ELFMAG, SELFMAG));
  return function();
}
