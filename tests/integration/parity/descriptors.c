// What a program finds of itself: its descriptors, its name, its executable, started again from it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
int main(int argc, char** argv) {
  if (argc > 1 && !strcmp(argv[1], "again")) {
    printf("again %s\n", argv[2]);
    return 7;
  }
  DIR* d = opendir("/proc/self/fd");
  int n = 0;
  while (readdir(d)) n++;
  closedir(d);
  printf("fds %d\n", n - 2);
  printf("next %d\n", dup(0));
  close(3);
  char comm[32] = {0};
  FILE* f = fopen("/proc/self/comm", "r");
  fgets(comm, 32, f);
  fclose(f);
  printf("comm %s", comm);
  char cmd[200] = {0};
  int fd = open("/proc/self/cmdline", O_RDONLY);
  int len = read(fd, cmd, sizeof cmd);
  close(fd);
  for (int i = 0; i < len; i++) putchar(cmd[i] ? cmd[i] : '|');
  puts("");
  struct stat a, b;
  printf("exe %d\n",
         stat("/proc/self/exe", &a) == 0 && stat("program", &b) == 0 && a.st_ino == b.st_ino);
  fflush(stdout);
  if (!fork()) {
    execl("/proc/self/exe", "program", "again", "one", (char*)0);
    _exit(9);
  }
  int st;
  wait(&st);
  printf("%d\n", WEXITSTATUS(st));
  fflush(stdout);
  if (!fork()) {
    int e = open("program", O_RDONLY | O_CLOEXEC);
    char* av[] = {"program", "again", "two", 0};
    char* ev[] = {0};
    fexecve(e, av, ev);
    _exit(9);
  }
  wait(&st);
  printf("%d\n", WEXITSTATUS(st));
  fflush(stdout);
  if (!fork()) {
    close_range(3, ~0U, 0);
    for (int i = 0; i < 3; i++)
      if (open("/dev/null", O_RDWR) != i + 3) _exit(1);
    _exit(0);
  }
  wait(&st);
  printf("close_range %d\n", WEXITSTATUS(st));
  if (!fork()) {
    struct rlimit rl = {4, 4};
    setrlimit(RLIMIT_NOFILE, &rl);
    int x = open("/dev/null", O_RDONLY);
    int y = open("/dev/null", O_RDONLY);
    _exit(x * 10 + (y < 0 && errno == EMFILE));
  }
  wait(&st);
  printf("limit %d\n", WEXITSTATUS(st));
  int high = 0;
  for (int i = 3; i < 1000; i++) high += dup2(1, i) == i;
  printf("dup2 %d\n", high);
  for (int i = 3; i < 1000; i++) close(i);
  close(0);
  printf("lowest %d\n", open("/dev/null", O_RDONLY));
  prctl(PR_SET_NAME, "other");
  f = fopen("/proc/self/comm", "r");
  fgets(comm, 32, f);
  fclose(f);
  printf("comm %s", comm);
  struct passwd* pw = getpwuid(0);
  printf("%s\n", pw->pw_name);
  fflush(stdout);
  close(1);
  close(2);
  for (int i = 0; i < 1100; i++) close(i);
  int o = open("made.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  o = write(o, "x", 1);
  unlink("made.txt");
  return o == 1 ? 6 : 8;
}
