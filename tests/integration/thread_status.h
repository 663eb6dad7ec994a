/* What the kernel says of the threads of this process, for hosted test programs. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* Threads in whose status the line that begins with `word` is not the first thread's. */
static int DifferentThreads(const char* word) {
  char path[300], line[200], first[200] = "";
  int different = 0;
  DIR* tasks = opendir("/proc/self/task");
  for (struct dirent* entry; (entry = readdir(tasks)) != NULL;) {
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    FILE* status = fopen(path, "r");
    while (status != NULL && fgets(line, sizeof line, status)) {
      if (strncmp(line, word, strlen(word)) != 0) continue;
      if (first[0] == 0) strcpy(first, line);
      different += strcmp(first, line) != 0;
    }
    if (status != NULL) fclose(status);
  }
  closedir(tasks);
  return different;
}
