/* Everything by which blocks come from a library and go to one. The program has is_of_pool. */
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int is_of_pool(const void* block);

static void tell(const char* what, void* block) {
  printf("%s: %s, %s\n", what, is_of_pool(block) ? "ours" : "foreign",
         malloc_usable_size(block) >= 1 ? "sized" : "unsized");
}

static void* work(void* argument) {
  for (int i = 0; i < 300; ++i) {
    char* text = NULL;
    if (asprintf(&text, "%s %d", (const char*)argument, i) < 0) abort();
    text = realloc(text, (size_t)(100 + i * 7));
    char* copy = strdup(text);
    free(text);
    free(copy);
  }
  /* Kept by libc for the thread, and freed when it has ended. */
  return strerror(77777) != NULL ? strdup("a result") : NULL;
}

static void use_all(void) {
  char* text = strdup("a string");
  tell("strdup", text);
  free(text);
  char* line = NULL;
  size_t size = 0;
  if (getline(&line, &size, stdin) > 0) tell("getline", line);
  line = realloc(line, 5000);
  tell("realloc of it", line);
  if (getline(&line, &size, stdin) > 0) tell("getline into it", line);
  free(line);
  char* memory = NULL;
  FILE* stream = open_memstream(&memory, &size);
  for (int i = 0; i < 2000; ++i) fprintf(stream, "%d ", i);
  fclose(stream);
  tell("open_memstream", memory);
  free(memory);
  char* folder = getcwd(NULL, 0);
  tell("getcwd", folder);
  free(folder);
  void* addresses[4];
  char** names = backtrace_symbols(addresses, backtrace(addresses, 4));
  tell("backtrace_symbols", names);
  free(names);
  char* path = realpath("/proc/self", NULL);
  tell("realpath", path);
  free(path);
  void* block = NULL;
  if (posix_memalign(&block, 4096, 100) == 0) tell("posix_memalign", block);
  printf("aligned: %d\n", (int)((size_t)block % 4096));
  free(block);
  block = aligned_alloc(256, 512);
  tell("aligned_alloc", block);
  free(block);
  block = calloc(100, 100);
  tell("calloc", block);
  free(block);
  block = reallocarray(NULL, 10, 10);
  tell("reallocarray", block);
  free(block);
  struct dirent** entries = NULL;
  int count = scandir("/proc/self/task", &entries, NULL, alphasort);
  for (int i = 0; i < count; ++i) free(entries[i]);
  free(entries);
  setenv("MEND_TEST_VARIABLE", "a value that has to be copied", 1);
  unsetenv("MEND_TEST_VARIABLE");

  pthread_t threads[8];
  for (int i = 0; i < 8; ++i) pthread_create(&threads[i], NULL, work, "thread");
  for (int i = 0; i < 20; ++i) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      char* in_child = strdup("in the child");
      free(in_child);
      _exit(is_of_pool(in_child) ? 7 : 8);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WEXITSTATUS(status) != 7) printf("child: %d\n", WEXITSTATUS(status));
  }
  for (int i = 0; i < 8; ++i) {
    void* result = NULL;
    pthread_join(threads[i], &result);
    if (i == 0) tell("of a thread", result);
    free(result);
  }
}
