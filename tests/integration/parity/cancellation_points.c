// Cancellation at the points that POSIX lists, each with cleanup handlers of both kinds.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
static void say(void* p) { printf("cleanup %s\n", (char*)p); }
static __attribute__((noinline)) void inner_clean(char** p) { printf("attr %s\n", *p); }
static int ps[2];
static sem_t sem;
static volatile int ready;
static int which;
static void block(int w) {
  char b;
  struct pollfd pf = {ps[0], POLLIN, 0};
  struct timespec t = {1000, 0};
  fd_set fs;
  sigset_t ss;
  int s;
  siginfo_t si;
  struct epoll_event ev;
  switch (w) {
    case 0:
      read(ps[0], &b, 1);
      break;
    case 1:
      poll(&pf, 1, -1);
      break;
    case 2:
      sem_wait(&sem);
      break;
    case 3:
      nanosleep(&t, 0);
      break;
    case 4:
      pause();
      break;
    case 5:
      FD_ZERO(&fs);
      FD_SET(ps[0], &fs);
      select(ps[0] + 1, &fs, 0, 0, 0);
      break;
    case 6:
      sigemptyset(&ss);
      sigaddset(&ss, SIGUSR1);
      sigwait(&ss, &s);
      break;
    case 7:
      sigemptyset(&ss);
      sigaddset(&ss, SIGUSR1);
      sigwaitinfo(&ss, &si);
      break;
    case 8:
      epoll_wait(epoll_create1(0), &ev, 1, -1);
      break;
    case 9: {
      int sv[2];
      socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
      recv(sv[0], &b, 1, 0);
    } break;
    case 10: {
      int l = socket(AF_UNIX, SOCK_STREAM, 0);
      struct {
        sa_family_t f;
        char p[100];
      } a = {AF_UNIX, {0}};
      bind(l, (void*)&a, sizeof(sa_family_t));
      listen(l, 1);
      accept(l, 0, 0);
    } break;
    case 11:
      clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0);
      break;
    case 12:
      sem_timedwait(&sem, &(struct timespec){2000000000, 0});
      break;
    case 13:
      for (;;) pthread_testcancel();
    case 14:
      sigsuspend(&(sigset_t){0});
      break;
    case 15: {
      pid_t k = fork();
      if (!k) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(20);  // should the thread be gone already
        for (;;) pause();
      }
      int st;
      pthread_cleanup_push(say, "wait");
      waitpid(k, &st, 0);
      pthread_cleanup_pop(0);
    } break;
    case 16: {
      char big[1 << 20];
      memset(big, 0, sizeof big);
      int p2[2];
      pipe(p2);
      for (;;) write(p2[1], big, 65536);
    } break;
    case 17:
      system("exec sleep 1000");
      break;
    case 18: {
      FILE* f = fdopen(dup(ps[0]), "r");
      char l[10];
      fgets(l, 10, f);
    } break;
    case 19: {
      pthread_t self = pthread_self();
      pthread_t o;
      extern void* forever(void*);
      pthread_create(&o, 0, forever, 0);
      pthread_join(o, 0);
    } break;
    case 20:
      usleep(999999999);
      break;
    case 21:
      sleep(1000);
      break;
    case 22: {
      struct msghdr mh = {0};
      char c;
      struct iovec iv = {&c, 1};
      mh.msg_iov = &iv;
      mh.msg_iovlen = 1;
      int sv[2];
      socketpair(AF_UNIX, SOCK_DGRAM, 0, sv);
      recvmsg(sv[0], &mh, 0);
    } break;
    case 23: {
      int f = open("fifo_h1", O_RDONLY);
    } break;
    case 24:
      fcntl(open("lock_h1", O_RDWR | O_CREAT, 0600), F_SETLKW, &(struct flock){.l_type = F_WRLCK});
      break;
  }
}
void* forever(void* p) {
  for (;;) pause();
}
static void* body(void* p) {
  char* n __attribute__((cleanup(inner_clean))) = "outer";
  pthread_cleanup_push(say, "one");
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, 0);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, 0);
  ready = 1;
  block(which);
  puts("returned");
  pthread_cleanup_pop(0);
  return 0;
}
int main(void) {
  pipe(ps);
  sem_init(&sem, 0, 0);
  mkfifo("fifo_h1", 0600);
  // lock the file in a child
  int lp[2];
  pipe(lp);
  fflush(stdout);
  pid_t lk = fork();
  if (!lk) {
    fcntl(open("lock_h1", O_RDWR | O_CREAT, 0600), F_SETLK, &(struct flock){.l_type = F_WRLCK});
    write(lp[1], "x", 1);
    pause();
  }
  char c;
  read(lp[0], &c, 1);
  sigset_t ss;
  sigemptyset(&ss);
  sigaddset(&ss, SIGUSR1);
  sigprocmask(SIG_BLOCK, &ss, 0);
  for (which = 0; which < 25; which++) {
    ready = 0;
    pthread_t t;
    void* r;
    fflush(stdout);
    pthread_create(&t, 0, body, 0);
    while (!ready) sched_yield();
    usleep(3000);
    pthread_cancel(t);
    int j = 0;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += 10;
    j = pthread_timedjoin_np(t, &r, &ts);
    printf("%d: %s %d\n", which, strerror(j), r == PTHREAD_CANCELED);
    fflush(stdout);
  }
  kill(lk, 9);
  unlink("fifo_h1");
  unlink("lock_h1");
  _exit(0);
}
