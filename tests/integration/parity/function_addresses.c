// A function of libc's is the same one by name, by dlsym, by a version and by libc's own handle.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static __thread long counter = 5;

static void* count(void* unused) { return (void*)counter++; }

static void show(void* libc, const char* name, void* function) {
  printf("%s %d %d %d %d\n", name, dlsym(libc, name) == function,
         dlsym(RTLD_DEFAULT, name) == function, dlsym(RTLD_NEXT, name) == function,
         dlvsym(RTLD_DEFAULT, name, "GLIBC_2.2.5") == function);
}

typedef int (*Create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

static void create(Create function) {
  pthread_t thread;
  void* result;
  printf("%d", function(&thread, NULL, count, NULL));
  pthread_join(thread, &result);
  printf(" %ld\n", (long)result);
}

int main(void) {
  void* const libc = dlopen("libc.so.6", RTLD_NOW);
  show(libc, "read", (void*)read);
  show(libc, "sigaction", (void*)sigaction);
  show(libc, "fork", (void*)fork);
  show(libc, "exit", (void*)exit);
  show(libc, "printf", (void*)printf);
  show(libc, "malloc", (void*)malloc);
  show(libc, "strlen", dlsym(libc, "strlen"));
  show(libc, "pthread_create", (void*)pthread_create);
  show(libc, "dlopen", (void*)dlopen);
  show(libc, "dlsym", (void*)dlsym);
  create((Create)dlsym(libc, "pthread_create"));
  create((Create)dlvsym(RTLD_DEFAULT, "pthread_create", "GLIBC_2.2.5"));
  printf("%d\n", dlvsym(RTLD_DEFAULT, "read", "GLIBC_9.9") == NULL);
  printf("%d\n", dlerror() != NULL);
  dlsym(libc, "read");
  printf("%d\n", dlerror() == NULL);
}
