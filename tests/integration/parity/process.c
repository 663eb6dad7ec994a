// The process: fork handlers, spawn, vfork, cancellation, small stacks, 1000 threads, deep
// recursion, closed descriptors, limits, chroot, setuid, daemon().
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
int visible(int x) {
  void* frames[20];
  return x + (backtrace(frames, 20) > 1);
}
static void prep(void) { puts("prepare"); }
static void par(void) { puts("parent"); }
static void chi(void) { puts("child"); }
static void cleanup(void* p) { printf("cleanup %s\n", (char*)p); }
static void* canc(void* p) {
  pthread_cleanup_push(cleanup, "c");
  while (1) sleep(10);
  pthread_cleanup_pop(0);
  return 0;
}
static void* small(void* p) {
  char b[4096];
  memset(b, 1, sizeof b);
  return (void*)(long)b[5];
}
static void* count(void* p) {
  usleep(1000);
  return 0;
}
static int deep(int n) {
  volatile char b[100];
  b[0] = n;
  return n ? deep(n - 1) + b[0] * 0 : 1;
}
int main(int c, char** v) {
  printf("visible %d\n", visible(1));
  Dl_info di;
  printf("dladdr %d %s\n", dladdr((void*)visible, &di) != 0, strstr(di.dli_fname, "program"));
  struct link_map* map = NULL;
  printf("dladdr1 %d", dladdr1((void*)visible, &di, (void**)&map, RTLD_DL_LINKMAP) != 0);
  printf(" %d\n", map != NULL && map == dlopen(NULL, RTLD_NOW));
  printf("dlsym %d\n", dlsym(RTLD_DEFAULT, "puts") == (void*)puts);
  void* m = dlopen("libm.so.6", RTLD_NOW);
  double (*cs)(double) = (double (*)(double))dlsym(m, "cos");
  printf("%.1f\n", cs(0));
  dlclose(m);
  printf("%d\n", dlopen("nope.so", RTLD_NOW) == 0);
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  path[n] = 0;
  printf("%s %s\n", strrchr(path, '/'), v[0]);
  printf("%lx\n", getauxval(AT_PAGESZ));
  printf("%d\n", (int)(strlen((char*)getauxval(AT_EXECFN)) > 0));
  printf("%s\n", program_invocation_short_name);
  pthread_atfork(prep, par, chi);
  fflush(stdout);
  pid_t p = fork();
  if (!p) {
    puts("in child");
    exit(5);
  }
  int st;
  waitpid(p, &st, 0);
  printf("%d\n", WEXITSTATUS(st));
  pid_t q;
  char* av[] = {"/bin/echo", "spawned", 0};
  fflush(stdout);
  posix_spawn(&q, "/bin/echo", 0, 0, av, environ);
  waitpid(q, &st, 0);
  printf("%d\n", st);
  fflush(stdout);
  p = vfork();
  if (!p) {
    execl("/bin/true", "true", (char*)0);
    _exit(1);
  }
  waitpid(p, &st, 0);
  printf("v %d\n", st);
  printf("system %d\n", system("exit 3") >> 8);
  pthread_t t;
  pthread_create(&t, 0, canc, 0);
  usleep(20000);
  pthread_cancel(t);
  void* r;
  pthread_join(t, &r);
  printf("%d\n", r == PTHREAD_CANCELED);
  pthread_attr_t a;
  pthread_attr_init(&a);
  printf("%d\n", pthread_attr_setstacksize(&a, 16384));
  printf("create %d\n", pthread_create(&t, &a, small, 0));
  pthread_join(t, &r);
  printf("%ld\n", (long)r);
  static pthread_t ts[1000];
  int ok = 0;
  for (int i = 0; i < 1000; i++) ok += pthread_create(&ts[i], &a, count, 0) == 0;
  for (int i = 0; i < ok; i++) pthread_join(ts[i], 0);
  printf("%d threads\n", ok);
  printf("%d\n", deep(50000));
  for (int i = 3; i < 1024; i++) close(i);
  closefrom(3);
  printf("fd %d\n", open("/dev/null", O_RDONLY));
  struct rlimit rl = {8, 8};
  setrlimit(RLIMIT_NOFILE, &rl);
  printf("fd %d\n", open("/dev/null", O_RDONLY));
  printf("chroot %d\n", chroot("/tmp"));
  chdir("/");
  printf("%d\n", setuid(65534));
  printf("%d\n", getuid());
  FILE* f = popen("x", "r");
  printf("%d\n", f != 0);
  fflush(stdout);
  printf("daemon %d\n", daemon(1, 1));
}
