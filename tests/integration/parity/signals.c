// Signals: EINTR where native has it and only there, SA_RESTART, a SIGSEGV handler that jumps out,
// an alternate stack, masks, sigtimedwait, what sigaction says of earlier handlers; death by
// SIGTERM.
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static volatile int hits;
static void h(int s) { hits++; }
static sigjmp_buf jb;
static void segv(int s, siginfo_t* i, void* u) { siglongjmp(jb, (int)(long)i->si_addr); }
static int onalt;
static char alt[65536];
static void ha(int s) {
  char c;
  onalt = &c >= alt && &c < alt + sizeof alt;
}
int main(void) {
  struct sigaction sa = {.sa_handler = h};
  sigaction(SIGALRM, &sa, 0);
  struct itimerval it = {{0, 0}, {0, 20000}};
  setitimer(ITIMER_REAL, &it, 0);
  char b;
  int p[2];
  pipe(p);
  int r = read(p[0], &b, 1);
  printf("%d %s %d\n", r, strerror(errno), hits);
  sa.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &sa, 0);
  setitimer(ITIMER_REAL, &it, 0);
  pid_t c = fork();
  if (!c) {
    usleep(100000);
    write(p[1], "x", 1);
    _exit(0);
  }
  r = read(p[0], &b, 1);
  printf("%d %d\n", r, hits);
  int st;
  waitpid(c, &st, 0);
  printf("%d\n", st);
  struct sigaction sg = {.sa_sigaction = segv, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &sg, 0);
  r = sigsetjmp(jb, 1);
  if (!r) *(volatile int*)64 = 1;
  printf("segv %d\n", r);
  r = sigsetjmp(jb, 1);
  if (!r) *(volatile int*)128 = 1;
  printf("segv %d\n", r);
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  sigaltstack(&ss, 0);
  struct sigaction s2 = {.sa_handler = ha, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &s2, 0);
  raise(SIGUSR1);
  printf("alt %d\n", onalt);
  sigset_t set, old;
  sigfillset(&set);
  sigprocmask(SIG_BLOCK, &set, &old);
  kill(getpid(), SIGUSR2);
  siginfo_t si;
  struct timespec ts = {1, 0};
  sigset_t w;
  sigemptyset(&w);
  sigaddset(&w, SIGUSR2);
  r = sigtimedwait(&w, &si, &ts);
  printf("%d %d\n", r == SIGUSR2, si.si_pid == getpid());
  sigset_t now;
  sigprocmask(0, 0, &now);
  int n = 0;
  for (int i = 1; i < 64; i++) n += sigismember(&now, i);
  printf("%d\n", n);
  sigprocmask(SIG_SETMASK, &old, 0);
  struct sigaction q;
  sigaction(SIGALRM, 0, &q);
  printf("%d %d\n", q.sa_handler == h, (q.sa_flags & SA_RESTART) != 0);
  printf("%d\n", signal(SIGUSR2, SIG_IGN) == SIG_DFL);
  sigaction(SIGSEGV, &(struct sigaction){.sa_handler = SIG_DFL}, 0);
  fflush(stdout);
  raise(SIGTERM);
}
