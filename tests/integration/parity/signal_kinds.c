// Signals of every origin and every way to wait for them: faults repaired, skipped and jumped out
// of, a stack that overflows, queued and real-time signals in order, waits that a signal ends.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
static sigjmp_buf env;
static volatile int n, last, value;
static void jump(int s, siginfo_t* i, void* c) { siglongjmp(env, s); }
static void count(int s) {
  n++;
  last = s;
}
static void info(int s, siginfo_t* i, void* c) {
  value = i->si_value.sival_int;
  n++;
  last = i->si_code;
}
// A write barrier as collectors have: the page is opened in the handler, the store is repeated.
static char* page;
static volatile int faults;
static void barrier(int s, siginfo_t* i, void* c) {
  faults++;
  mprotect(page, 4096, PROT_READ | PROT_WRITE);
}
// The faulting instruction is stepped over by the saved context.
static void skip(int s, siginfo_t* i, void* c) {
  ucontext_t* u = c;
  u->uc_mcontext.gregs[REG_RIP] = u->uc_mcontext.gregs[REG_RBX];
  u->uc_mcontext.gregs[REG_RAX] = 99;
}
static int overflow(int k) {
  volatile char b[1000];
  b[0] = k;
  return overflow(k + 1) + b[0];
}
static void install(int s, void (*f)(int, siginfo_t*, void*), int flags) {
  struct sigaction a = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
  sigaction(s, &a, 0);
}
static void* waiter(void* p) {
  int s;
  sigwait(p, &s);
  return (void*)(long)s;
}
static volatile int nested_depth, max_depth;
static void nesting(int s) {
  nested_depth++;
  if (nested_depth > max_depth) max_depth = nested_depth;
  if (nested_depth < 3) raise(s);
  nested_depth--;
}
static void timed(union sigval v) { __atomic_store_n((int*)v.sival_ptr, 77, __ATOMIC_SEQ_CST); }
static int order[20], orders;
static void ordered(int s, siginfo_t* i, void* c) {
  order[orders++] = (s - SIGRTMIN) * 100 + i->si_value.sival_int;
}
int main(void) {
  install(SIGFPE, jump, 0);
  install(SIGILL, jump, 0);
  install(SIGBUS, jump, 0);
  install(SIGTRAP, jump, 0);
  volatile int zero = 0;
  int r;
  if (!(r = sigsetjmp(env, 1)))
    printf("%d\n", 1 / zero);
  else
    printf("fpe %d\n", r);
  if (!(r = sigsetjmp(env, 1)))
    __builtin_trap();
  else
    printf("ill %d\n", r);
  if (!(r = sigsetjmp(env, 1)))
    __asm__ volatile("int3");
  else
    printf("trap %d\n", r);
  page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  install(SIGSEGV, barrier, 0);
  for (int i = 0; i < 3; i++) {
    page[i] = 'a' + i;
    if (i == 1) mprotect(page, 4096, PROT_READ);
  }
  printf("barrier %d %.3s\n", faults, page);
  install(SIGSEGV, skip, 0);
  long out;
  __asm__ volatile("leaq 1f(%%rip), %%rbx\n movl $0, %%eax\n movq 16, %%rax\n 1: movq %%rax, %0"
                   : "=r"(out)::"rax", "rbx", "memory");
  printf("skipped %ld\n", out);
  static char alt[65536];
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  sigaltstack(&ss, 0);
  install(SIGSEGV, jump, SA_ONSTACK);
  struct rlimit rl = {1 << 20, RLIM_INFINITY};
  setrlimit(RLIMIT_STACK, &rl);
  for (int i = 0; i < 3; i++)
    if (!(r = sigsetjmp(env, 1)))
      overflow(0);
    else
      printf("overflow %d\n", r);
  stack_t now;
  sigaltstack(0, &now);
  printf("altstack %d %zu\n", now.ss_sp == alt, now.ss_size);
  struct sigaction once = {.sa_handler = count, .sa_flags = SA_RESETHAND};
  sigaction(SIGUSR1, &once, 0);
  raise(SIGUSR1);
  struct sigaction q;
  sigaction(SIGUSR1, 0, &q);
  printf("reset %d %d\n", n, q.sa_handler == SIG_DFL);
  struct sigaction nodefer = {.sa_handler = nesting, .sa_flags = SA_NODEFER};
  sigaction(SIGUSR1, &nodefer, 0);
  raise(SIGUSR1);
  printf("nested %d\n", max_depth);
  install(SIGUSR2, info, 0);
  union sigval v = {.sival_int = 4711};
  sigqueue(getpid(), SIGUSR2, v);
  printf("queued %d %d\n", value, last == SI_QUEUE);
  sigset_t rt, old;
  sigemptyset(&rt);
  for (int i = 0; i < 4; i++) {
    install(SIGRTMIN + i, ordered, 0);
    sigaddset(&rt, SIGRTMIN + i);
  }
  for (int i = 0; i < 4; i++) {
    struct sigaction a;
    sigaction(SIGRTMIN + i, 0, &a);
    a.sa_mask = rt;
    sigaction(SIGRTMIN + i, &a, 0);
  }
  sigprocmask(SIG_BLOCK, &rt, &old);
  for (int k = 0; k < 2; k++)
    for (int i = 3; i >= 0; i--) {
      union sigval w = {.sival_int = k};
      sigqueue(getpid(), SIGRTMIN + i, w);
    }
  sigset_t pending;
  sigpending(&pending);
  printf("pending %d\n", sigismember(&pending, SIGRTMIN + 2));
  sigprocmask(SIG_SETMASK, &old, 0);
  for (int i = 0; i < orders; i++) printf("%d ", order[i]);
  puts("");
  struct sigaction c = {.sa_handler = count};
  sigaction(SIGALRM, &c, 0);
  n = 0;
  struct itimerval it = {{0, 10000}, {0, 10000}},
                   off = {{0, 0}, {0, 0}}; /* again and again: the first may come before the wait */
  setitimer(ITIMER_REAL, &it, 0);
  r = pause();
  printf("pause %d %d %d\n", r, errno == EINTR, n > 0);
  sigset_t block;
  sigemptyset(&block);
  sigaddset(&block, SIGALRM);
  sigprocmask(SIG_BLOCK, &block, &old);
  setitimer(ITIMER_REAL, &it, 0);
  r = sigsuspend(&old);
  printf("suspend %d %d %d\n", r, errno == EINTR, n > 1);
  setitimer(ITIMER_REAL, &it, 0);
  struct timespec sec = {5, 0};
  r = ppoll(0, 0, &sec, &old);
  printf("ppoll %d %d\n", r, errno == EINTR);
  setitimer(ITIMER_REAL, &it, 0);
  r = pselect(0, 0, 0, 0, &sec, &old);
  printf("pselect %d %d\n", r, errno == EINTR);
  int ep = epoll_create1(0);
  struct epoll_event ev;
  setitimer(ITIMER_REAL, &it, 0);
  r = epoll_pwait(ep, &ev, 1, 5000, &old);
  printf("epoll %d %d\n", r, errno == EINTR);
  sigprocmask(SIG_SETMASK, &old, 0);
  setitimer(ITIMER_REAL, &it, 0);
  struct timespec rem = {0, 0};
  r = nanosleep(&sec, &rem);
  printf("nanosleep %d %d %d\n", r, errno == EINTR, rem.tv_sec < 5);
  setitimer(ITIMER_REAL, &it, 0);
  r = clock_nanosleep(CLOCK_MONOTONIC, 0, &sec, &rem);
  printf("clock_nanosleep %d\n", r == EINTR);
  setitimer(ITIMER_REAL, &it, 0);
  r = sleep(5);
  printf("sleep %d\n", r > 0);
  setitimer(ITIMER_REAL, &it, 0);
  r = usleep(900000);
  printf("usleep %d %d\n", r, errno == EINTR);
  setitimer(ITIMER_REAL, &off, 0);
  sigset_t w;
  sigemptyset(&w);
  sigaddset(&w, SIGUSR1);
  sigaddset(&w, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &w, 0);
  pthread_t t;
  pthread_create(&t, 0, waiter, &w);
  pthread_kill(t, SIGHUP);
  void* got;
  pthread_join(t, &got);
  printf("sigwait %ld\n", (long)got);
  int sfd = signalfd(-1, &w, 0);
  kill(getpid(), SIGUSR1);
  struct signalfd_siginfo si;
  read(sfd, &si, sizeof si);
  printf("signalfd %u\n", si.ssi_signo);
  int tfd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec its = {{0, 0}, {0, 1000000}};
  timerfd_settime(tfd, 0, &its, 0);
  unsigned long exp;
  read(tfd, &exp, 8);
  printf("timerfd %lu\n", exp);
  int fired = 0;
  timer_t tm;
  struct sigevent se = {.sigev_notify = SIGEV_THREAD,
                        .sigev_notify_function = timed,
                        .sigev_value.sival_ptr = &fired};
  timer_create(CLOCK_MONOTONIC, &se, &tm);
  timer_settime(tm, 0, &its, 0);
  while (!__atomic_load_n(&fired, __ATOMIC_SEQ_CST)) usleep(1000);
  printf("timer %d\n", fired);
  timer_delete(tm);
  signal(SIGPIPE, SIG_IGN);
  int p[2];
  pipe(p);
  close(p[0]);
  r = write(p[1], "x", 1);
  printf("epipe %d %d\n", r, errno == EPIPE);
  sigset_t full;
  sigfillset(&full);
  pthread_sigmask(SIG_BLOCK, &full, 0);
  sigset_t is;
  pthread_sigmask(0, 0, &is);
  printf("full %d %d\n", sigismember(&is, SIGTERM), sigismember(&is, SIGKILL));
  pid_t k = fork();
  if (!k) {
    sigset_t none;
    sigemptyset(&none);
    signal(SIGABRT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, 0);
    abort();
  }
  int st;
  waitpid(k, &st, 0);
  printf("abort %d\n", WTERMSIG(st));
  k = fork();
  if (!k) {
    raise(SIGSTOP);
    _exit(3);
  }
  waitpid(k, &st, WUNTRACED);
  printf("stopped %d\n", WIFSTOPPED(st));
  kill(k, SIGCONT);
  waitpid(k, &st, 0);
  printf("exit %d\n", WEXITSTATUS(st));
  printf("rt %d\n", SIGRTMAX - SIGRTMIN > 20);
  pthread_sigmask(SIG_SETMASK, &old, 0);
  siginfo_t wi;
  k = fork();
  if (!k) {
    setitimer(ITIMER_REAL, &it, 0);
    signal(SIGALRM, SIG_DFL);
    for (;;) pause();
  }
  waitid(P_PID, k, &wi, WEXITED);
  printf("waitid %d %d\n", wi.si_code == CLD_KILLED, wi.si_status);
}
