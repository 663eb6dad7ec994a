// A program that limits its data to a few megabytes, as pure-ftpd's sessions do: what it is told of
// the limit, and what it can allocate.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
static const rlim_t mib = 1 << 20;
static void tell(const char* when) {
  struct rlimit a, b;
  getrlimit(RLIMIT_DATA, &a);
  prlimit(getpid(), RLIMIT_DATA, NULL, &b);
  printf("%s: %lld %lld", when, (long long)a.rlim_cur, (long long)a.rlim_max);
  printf(" %d\n", a.rlim_cur == b.rlim_cur && a.rlim_max == b.rlim_max);
}
static int fits(size_t bytes) {
  char* volatile p = malloc(bytes);
  const int is_there = p != NULL;
  if (is_there) p[bytes - 1] = 1;
  free(p);
  return is_there;
}
static int maps(size_t bytes) {
  void* p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p != MAP_FAILED && munmap(p, bytes) == 0;
}
static void limit(const char* what, rlim_t soft, rlim_t hard) {
  const struct rlimit wanted = {soft, hard};
  const int result = setrlimit(RLIMIT_DATA, &wanted);
  printf("%s: %d %d\n", what, result, result ? errno : 0);
  tell(what);
  // Hosted, there is room for what the runtime has yet to take.
  printf("fits: %d %d %d, %d %d\n", fits(1000), fits(520000), fits(3 * mib), maps(4 * mib),
         maps(4000 * mib));
}
int main(void) {
  tell("at first");
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    limit("child", 8 * mib, 8 * mib);
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  tell("parent");
  limit("soft", 16 * mib, RLIM_INFINITY);
  limit("hard", 8 * mib, 12 * mib);
  limit("wrong", 9 * mib, 8 * mib);
  if (setresuid(65534, 65534, 65534) == 0) {
    limit("not allowed", 8 * mib, 16 * mib);
    limit("less", 8 * mib, 10 * mib);
  }
  tell("at last");
}
