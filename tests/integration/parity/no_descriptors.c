// A program that confines itself to the descriptors that it has, as OpenSSH's children do, and ends
// so: by exit, and from a signal handler.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int number) { exit(number); }

static void confine(void) {
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_NOFILE, &none) != 0) perror("setrlimit");
}

static void report(const char* what, pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  printf("%s: %s %d\n", what, WIFEXITED(status) ? "exit" : "signal",
         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  fflush(stdout);
}

int main(int argc, char** argv) {
  if (argc == 2) {
    int ends[2];
    if (pipe(ends) != 0) return 9;
    confine();
    struct timeval soon = {0, 1000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    printf("%s: open %d, select %d\n", argv[1], open("/dev/null", O_RDONLY) < 0 ? errno : 0,
           select(ends[0] + 1, &set, NULL, NULL, &soon));
    fflush(stdout);
    if (strcmp(argv[1], "handler") == 0) {
      signal(SIGUSR1, end);
      raise(SIGUSR1);
    }
    return 2;
  }
  const char* const ways[] = {"return", "handler"};
  for (int i = 0; i < 2; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      execl("/proc/self/exe", argv[0], ways[i], (char*)NULL);
      _exit(127);
    }
    report(ways[i], child);
  }
  confine();
  return 0;
}
