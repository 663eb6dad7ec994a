/* A library that looks for symbols and opens libraries. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

int library_finds(const char* name) { return dlsym(RTLD_DEFAULT, name) != NULL; }
int library_opens(const char* file) { return dlopen(file, RTLD_NOW) != NULL; }
