/* fork, wait, pipes, signals with handlers, EINTR without SA_RESTART, and what a child exits with.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t received;

static void handle(int number) { received = number; }

int main(void) {
  int ends[2];
  int status;
  char buffer[32] = {0};
  struct sigaction action;
  struct sigaction before;
  if (pipe(ends) != 0) return 1;
  if (fork() == 0) {
    if (write(ends[1], "child", 5) != 5) _exit(1);
    exit(9);
  }
  wait(&status);
  if (read(ends[0], buffer, sizeof buffer - 1) < 0) return 1;
  printf("%s exited %d\n", buffer, WEXITSTATUS(status));

  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGALRM, NULL, &before);
  printf("handler is mine: %d\n", before.sa_handler == handle);
  alarm(1);
  const ssize_t count = read(ends[0], buffer, 1);
  printf("read %zd %s, signal %d\n", count, count < 0 && errno == EINTR ? "EINTR" : "?", received);

  if (fork() == 0) raise(SIGKILL);
  wait(&status);
  printf("child died of %d\n", WTERMSIG(status));
  printf("range %d\n", SIGRTMAX > SIGRTMIN);
  fflush(stdout);
  raise(SIGTERM);
  return 0;
}
