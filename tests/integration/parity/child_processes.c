// vfork (from several threads at once), posix_spawn with attributes, popen, trees of processes,
// exec.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
static void* spawner(void* p) {
  int bad = 0;
  for (int i = 0; i < 20; i++) {
    pid_t k = vfork();
    if (!k) {
      execl("/bin/true", "true", (char*)0);
      _exit(9);
    }
    int st;
    waitpid(k, &st, 0);
    bad += st != 0;
  }
  return (void*)(long)bad;
}
int main(void) {
  int changed = 1;
  pid_t k = vfork();
  if (k == 0) {
    changed = 2;
    _exit(4);
  }
  int st;
  waitpid(k, &st, 0);
  printf("vfork %d %d\n", changed, WEXITSTATUS(st));
  k = vfork();
  if (k == 0) {
    execl("/nonexistent", "x", (char*)0);
    _exit(127);
  }
  waitpid(k, &st, 0);
  printf("failed %d\n", WEXITSTATUS(st));
  pthread_t t[4];
  void* r;
  int bad = 0;
  for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, spawner, 0);
  for (int i = 0; i < 4; i++) {
    pthread_join(t[i], &r);
    bad += (int)(long)r;
  }
  printf("bad %d\n", bad);
  posix_spawn_file_actions_t fa;
  posix_spawn_file_actions_init(&fa);
  posix_spawn_file_actions_addopen(&fa, 1, "sp.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawnattr_t at;
  posix_spawnattr_init(&at);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigdefault(&at, &all);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&at, &none);
  posix_spawnattr_setflags(&at,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  char* av[] = {"sh", "-c", "echo spawned; exit 6", 0};
  printf("spawn %d\n", posix_spawnp(&k, "sh", &fa, &at, av, environ));
  waitpid(k, &st, 0);
  printf("%d\n", WEXITSTATUS(st));
  char b[32] = {0};
  FILE* f = fopen("sp.txt", "r");
  fgets(b, 32, f);
  fclose(f);
  unlink("sp.txt");
  fputs(b, stdout);
  char* nv[] = {"nope", 0};
  printf("enoent %d\n", posix_spawnp(&k, "nope-nope", 0, 0, nv, environ));
  FILE* p = popen("cat; echo tail", "w");
  fflush(stdout);
  fprintf(p, "to the pipe\n");
  printf("pclose %d\n", pclose(p));
  p = popen("echo from the pipe; exit 3", "r");
  fgets(b, 32, p);
  printf("%s%d\n", b, WEXITSTATUS(pclose(p)));
  // A tree of processes.
  fflush(stdout);
  if (!fork()) {
    if (!fork()) {
      if (!fork()) _exit(5);
      wait(&st);
      _exit(WEXITSTATUS(st) + 1);
    }
    wait(&st);
    _exit(WEXITSTATUS(st) + 1);
  }
  wait(&st);
  printf("tree %d\n", WEXITSTATUS(st));
  fflush(stdout);
  k = fork();
  if (!k) {
    execlp("sh", "sh", "-c", "kill -9 $$", (char*)0);
  }
  waitpid(k, &st, 0);
  printf("killed %d\n", WTERMSIG(st));
  fflush(stdout);
  execlp("echo", "echo", "the end", (char*)0);
}
