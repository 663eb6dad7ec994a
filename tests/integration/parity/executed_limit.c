// The limits to addresses and data that what a program executes has, and the program itself when
// that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define ALL "echo $(ulimit -Sv) $(ulimit -Hv) $(ulimit -Sd) $(ulimit -Hd)"
static char said[] = ALL;
static char* arguments[] = {"sh", "-c", said, NULL};
// A child that is not this one's own code gets it right after it has begun.
static char* later[] = {"sh", "-c", "sleep 0.3; " ALL, NULL};
static void limit(rlim_t soft, rlim_t hard) {
  struct rlimit wanted = {soft, hard};
  if (setrlimit(RLIMIT_AS, &wanted) != 0) puts("no limit");
  // Another one, so that they are not taken for each other.
  struct rlimit less = {soft - (50 << 20), hard == RLIM_INFINITY ? hard : hard - (50 << 20)};
  if (setrlimit(RLIMIT_DATA, &less) != 0) puts("no limit");
}
static void tell(const char* when) {
  struct rlimit now;
  struct rlimit data;
  getrlimit(RLIMIT_AS, &now);
  getrlimit(RLIMIT_DATA, &data);
  void* p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  printf("%s: %lld %lld %d", when, (long long)now.rlim_cur, (long long)now.rlim_max,
         p != MAP_FAILED);
  printf(" %lld %lld\n", (long long)data.rlim_cur, (long long)data.rlim_max);
  if (p != MAP_FAILED) munmap(p, 64 << 20);
}
static void execute(int how) {
  switch (how) {
    case 0:
      execve("/bin/sh", arguments, environ);
      break;
    case 1:
      execvp("sh", arguments);
      break;
    case 2:
      execl("/bin/sh", "sh", "-c", said, NULL);
      break;
    case 3:
      execlp("sh", "sh", "-c", said, NULL);
      break;
    case 4:
      execle("/bin/sh", "sh", "-c", said, NULL, environ);
      break;
    case 5:
      fexecve(open("/bin/sh", O_RDONLY | O_CLOEXEC), arguments, environ);
      break;
    case 6:
      execveat(AT_FDCWD, "/bin/sh", arguments, environ, 0);
      break;
    case 7:
      syscall(SYS_execve, "/bin/sh", arguments, environ);
      break;
    case 8:
      syscall(SYS_execveat, AT_FDCWD, "/bin/sh", arguments, environ, 0);
      break;
    default:
      execv("/bin/sh", arguments);
  }
}
static void all(const char* what) {
  int status;
  printf("%s\n", what);
  fflush(stdout);
  for (int how = 0; how < 10; ++how) {
    const pid_t child = fork();
    if (child == 0) {
      execute(how);
      _exit(1);
    }
    waitpid(child, &status, 0);
  }
  pid_t child = vfork();
  if (child == 0) {
    execve("/bin/sh", arguments, environ);
    _exit(1);
  }
  waitpid(child, &status, 0);
  // Its own limit, which is not its parent's.
  child = vfork();
  if (child == 0) {
    const struct rlimit less = {140 << 20, 240 << 20};
    if (setrlimit(RLIMIT_AS, &less) == 0) execve("/bin/sh", arguments, environ);
    _exit(1);
  }
  waitpid(child, &status, 0);
  tell("after vfork");
  fflush(stdout);
  printf("%d ", posix_spawn(&child, "/bin/sh", NULL, NULL, later, environ));
  fflush(stdout);
  waitpid(child, &status, 0);
  printf("%d ", posix_spawnp(NULL, "sh", NULL, NULL, later, environ));
  fflush(stdout);
  wait(&status);
  printf("%d\n", posix_spawnp(&child, "no-such-program", NULL, NULL, arguments, environ));
  fflush(stdout);
  printf("%d\n", system(said));
  printf("%d\n", system("( wrong"));
  printf("%d\n", system("exit 3"));
  char line[100] = "";
  FILE* stream = popen(said, "r");
  fgets(line, sizeof line, stream);
  printf("%s%d\n", line, pclose(stream));
  tell(what);
}
static void fail(const char* what, const char* path) {
  char* words[] = {"words", NULL};
  const int result = execv(path, words);
  printf("%s: %d %s\n", what, result, strerror(errno));
  tell(what);
}
int main(void) {
  const rlim_t mib = 1 << 20;
  all("none");
  limit(200 * mib, RLIM_INFINITY);
  all("soft");
  fail("no file", "/no/such/file");
  fail("a folder", "/tmp");
  char script[] = "/tmp/executed-limit-XXXXXX";
  const int file = mkstemp(script);
  fchmod(file, 0755);
  close(file);
  fail("nothing to execute", script);
  unlink(script);
  limit(200 * mib, 300 * mib);
  all("hard");
  limit(300 * mib, 300 * mib);
  fail("no file", "/no/such/file");
  all("both");
  if (setresuid(65534, 65534, 65534) == 0) {
    all("another user");
    limit(150 * mib, 250 * mib);
    all("less");
    fail("no file", "/no/such/file");
  }
  tell("at last");
}
