/* The program's own dlopen and dlsym, which its library calls too; the program and the library open
 * another. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int library_finds(const char* name);
int library_opens(const char* file);

static int asked, opened;
static char answer;

void* dlsym(void* handle, const char* name) {
  static void* (*next)(void*, const char*);
  if (next == NULL) next = (void* (*)(void*, const char*))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  ++asked;
  return strcmp(name, "mend_test_answer") == 0 ? &answer : next(handle, name);
}

void* dlopen(const char* file, int flags) {
  void* (*next)(const char*, int) = (void* (*)(const char*, int))dlsym(RTLD_NEXT, "dlopen");
  ++opened;
  return next(strcmp(file, "math") == 0 ? "libm.so.6" : file, flags);
}

int main(void) {
  printf("program %d %d\n", dlsym(RTLD_DEFAULT, "mend_test_answer") == &answer,
         dlopen("math", RTLD_NOW) != NULL);
  printf("library %d %d\n", library_finds("mend_test_answer"), library_opens("math"));
  printf("neither %d %d\n", library_finds("nobody_has_this"),
         library_opens("./nobody_has_this.so"));
  printf("asked %d opened %d\n", asked, opened);
  return 0;
}
