/* Hands libmend.so memory that it must not read, so that its instrumentation has something to say.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int argc, char** argv) {
  char* memory = calloc(2, sizeof(struct timespec));
  if (argc > 1 && strcmp(argv[1], "freed") == 0) free(memory);
  if (argc > 1 && strcmp(argv[1], "misaligned") == 0) ++memory;
  return ppoll(NULL, 0, (const struct timespec*)memory, NULL);
}
