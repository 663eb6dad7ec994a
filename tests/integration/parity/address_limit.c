// A program that limits its addresses: what it is told of the limit, and what it can map.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void tell(const char* when) {
  struct rlimit a;
  struct rlimit64 b;
  struct rlimit c;
  getrlimit(RLIMIT_AS, &a);
  getrlimit64(RLIMIT_AS, &b);
  prlimit(getpid(), RLIMIT_AS, NULL, &c);
  struct rlimit by_number = {0, 0};
  syscall(SYS_prlimit64, 0, RLIMIT_AS, NULL, &by_number);
  struct rlimit by_old_number = {0, 0};
  syscall(SYS_getrlimit, RLIMIT_AS, &by_old_number);
  printf("%s: %lld %lld", when, (long long)a.rlim_cur, (long long)a.rlim_max);
  printf(" %d", a.rlim_cur == b.rlim_cur && a.rlim_max == b.rlim_max && a.rlim_cur == c.rlim_cur &&
                    a.rlim_max == c.rlim_max);
  printf(" %d %d\n", memcmp(&a, &by_number, sizeof a), memcmp(&a, &by_old_number, sizeof a));
}
static int fits(size_t mib) {
  void* p = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return errno == ENOMEM ? 0 : -1;
  munmap(p, mib << 20);
  return 1;
}
static void limit(const char* what, rlim_t soft, rlim_t hard) {
  struct rlimit wanted = {soft, hard};
  int result = setrlimit(RLIMIT_AS, &wanted);
  printf("%s: %d %d\n", what, result, result ? errno : 0);
  tell(what);
  printf("fits: 10 %d, 64 %d, 150 %d, 400 %d\n", fits(10), fits(64), fits(150), fits(400));
}
int main(void) {
  const rlim_t mib = 1 << 20;
  struct rlimit files;
  tell("at first");
  const struct rlimit by_number = {250 * mib, RLIM_INFINITY};
  printf("%ld\n", syscall(SYS_setrlimit, RLIMIT_AS, &by_number));
  tell("by number");
  limit("soft", 200 * mib, RLIM_INFINITY);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    tell("child");
    struct rlimit wanted = {100 * mib, 100 * mib};
    printf("child: %d\n", setrlimit(RLIMIT_AS, &wanted));
    tell("child");
    // Hosted, there is room for what the runtime has yet to take.
    void* p = malloc(3000 * mib);
    printf("malloc %d\n", p == NULL && errno == ENOMEM);
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  tell("parent");
  limit("hard", 100 * mib, 300 * mib);
  limit("raised", 300 * mib, 300 * mib);
  limit("wrong", 300 * mib, 200 * mib);
  if (setresuid(65534, 65534, 65534) == 0) {
    limit("not allowed", 100 * mib, 400 * mib);
    limit("less", 100 * mib, 250 * mib);
  }
  struct rlimit old, some = {50 * mib, 250 * mib};
  printf("prlimit %d", prlimit(0, RLIMIT_AS, &some, &old));
  printf(" %lld %lld\n", (long long)old.rlim_cur, (long long)old.rlim_max);
  tell("at last");
  printf("others: %d %d\n", getrlimit(RLIMIT_NOFILE, &files), setrlimit(RLIMIT_NOFILE, &files));
  printf("unknown: %d %d\n", getrlimit(99, &files), errno);
}
