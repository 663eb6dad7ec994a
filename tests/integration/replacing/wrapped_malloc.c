/* A malloc that counts, and asks the next one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int taken, given;
static __thread int mine;
static void* (*next_malloc)(size_t);
static void (*next_free)(void*);

void* malloc(size_t size) {
  if (next_malloc == NULL) next_malloc = (void* (*)(size_t))dlsym(RTLD_NEXT, "malloc");
  ++taken;
  ++mine;
  return next_malloc(size);
}
void free(void* block) {
  if (next_free == NULL) next_free = (void (*)(void*))dlsym(RTLD_NEXT, "free");
  if (block != NULL) ++given;
  next_free(block);
}

static void* work(void* argument) {
  for (int i = 0; i < 1000; ++i) free(strdup(argument));
  return mine == 1000 ? argument : NULL;
}

int main(void) {
  int before = taken, before_given = given;
  char* text = strdup("hello");
  printf("strdup: %d\n", taken - before);
  free(text);
  printf("free: %d\n", given - before_given);
  pthread_t thread;
  pthread_create(&thread, NULL, work, "counted by thread");
  void* result = NULL;
  pthread_join(thread, &result);
  printf("thread: %s\n", result != NULL ? "its own" : "wrong");
  return 0;
}
