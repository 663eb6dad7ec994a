// Jumps and contexts out of signal handlers, with the mask and without.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
static sigjmp_buf jb;
static jmp_buf pj;
static void h(int s) { siglongjmp(jb, s); }
static ucontext_t saved, mainc;
static volatile int phase;
static void hc(int s, siginfo_t* i, void* u) {
  getcontext(&saved);
  phase++;
  if (phase < 3) setcontext(&saved);
}
static void hset(int s, siginfo_t* i, void* u) { setcontext(&mainc); }
static void* thr(void* p) {
  for (int k = 0; k < 50; k++) {
    if (!sigsetjmp(jb, 1)) raise(SIGUSR1);
  }
  return (void*)1L;
}
static int rec(int n) {
  volatile char b[300];
  b[0] = n;
  if (!n) {
    raise(SIGUSR2);
    return 0;
  }
  return rec(n - 1) + b[0];
}
int main(void) {
  struct sigaction a = {.sa_handler = h};
  sigaction(SIGUSR1, &a, 0);
  volatile int n = 0;
  for (int i = 0; i < 100; i++)
    if (!sigsetjmp(jb, 1))
      raise(SIGUSR1);
    else
      n++;
  printf("%d\n", n);
  sigset_t m;
  sigprocmask(0, 0, &m);
  printf("%d\n", sigismember(&m, SIGUSR1));
  // jump without the mask
  if (!sigsetjmp(jb, 0)) raise(SIGUSR1);
  sigprocmask(0, 0, &m);
  printf("still %d\n", sigismember(&m, SIGUSR1));
  sigemptyset(&m);
  sigprocmask(SIG_SETMASK, &m, 0);
  struct sigaction c = {.sa_sigaction = hc, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR2, &c, 0);
  printf("%d phase %d\n", rec(20), phase);
  volatile int times = 0;
  getcontext(&mainc);
  if (times++ < 3) {
    struct sigaction d = {.sa_sigaction = hset, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &d, 0);
    raise(SIGUSR2);
  }
  printf("times %d\n", times);
  sigprocmask(0, 0, &m);
  printf("m %d\n", sigismember(&m, SIGUSR2));
  pthread_t t;
  void* r;
  pthread_create(&t, 0, thr, 0);
  pthread_join(t, &r);
  printf("%ld\n", (long)r);
}
