// An event loop over sockets, signals and events with clients in threads; libc's other corners:
// iconv, regex, getopt, rounding modes and traps of floating point.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <getopt.h>
#include <glob.h>
#include <iconv.h>
#include <locale.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <wchar.h>
static void* cl(void* p) {
  int s = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = *(in_port_t*)p, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (connect(s, (void*)&a, sizeof a)) perror("c");
  char b[100];
  for (int i = 0; i < 100; i++) {
    send(s, "ping", 4, 0);
    recv(s, b, 4, MSG_WAITALL);
  }
  shutdown(s, SHUT_WR);
  ssize_t r = read(s, b, 1);
  close(s);
  return (void*)r;
}
int main(int c, char** v) {
  int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  bind(l, (void*)&a, sizeof a);
  listen(l, 50);
  socklen_t n = sizeof a;
  getsockname(l, (void*)&a, &n);
  int ep = epoll_create1(0);
  struct epoll_event e = {EPOLLIN, {.fd = l}};
  epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
  sigset_t ss;
  sigemptyset(&ss);
  sigaddset(&ss, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &ss, 0);
  int sf = signalfd(-1, &ss, SFD_NONBLOCK);
  e.data.fd = sf;
  epoll_ctl(ep, EPOLL_CTL_ADD, sf, &e);
  int ef = eventfd(0, EFD_SEMAPHORE);
  e.data.fd = ef;
  epoll_ctl(ep, EPOLL_CTL_ADD, ef, &e);
  pthread_t t[4];
  for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, cl, &a.sin_port);
  int closed = 0, msgs = 0, sig = 0, ev = 0;
  kill(getpid(), SIGUSR1);
  eventfd_write(ef, 3);
  while (closed < 4 || !sig || ev < 3) {
    struct epoll_event es[8];
    int k = epoll_wait(ep, es, 8, 5000);
    if (k <= 0) {
      printf("epoll %d %d\n", k, errno);
      break;
    }
    for (int i = 0; i < k; i++) {
      int fd = es[i].data.fd;
      if (fd == l) {
        int s = accept4(l, 0, 0, SOCK_NONBLOCK);
        e.data.fd = s;
        e.events = EPOLLIN | EPOLLET;
        epoll_ctl(ep, EPOLL_CTL_ADD, s, &e);
      } else if (fd == sf) {
        struct signalfd_siginfo si;
        read(sf, &si, sizeof si);
        sig = si.ssi_signo;
      } else if (fd == ef) {
        eventfd_t x;
        eventfd_read(ef, &x);
        ev += x;
      } else {
        char b[64];
        ssize_t r;
        while ((r = read(fd, b, 4)) > 0) {
          msgs++;
          write(fd, b, r);
        }
        if (r == 0) {
          close(fd);
          closed++;
        }
      }
    }
  }
  printf("%d %d %d %d\n", closed, msgs, sig, ev);
  for (int i = 0; i < 4; i++) {
    void* r;
    pthread_join(t[i], &r);
    printf("%ld", (long)r);
  }
  puts("");
  struct addrinfo *ai, h = {.ai_flags = AI_NUMERICHOST};
  printf("gai %d %s\n", getaddrinfo("127.0.0.1", "80", &h, &ai), gai_strerror(EAI_NONAME));
  freeaddrinfo(ai);
  printf("gai %d\n", getaddrinfo("localhost", 0, 0, &ai));
  int in = inotify_init1(0);
  inotify_add_watch(in, ".", IN_CREATE);
  close(open("ino_h1", O_CREAT | O_RDWR, 0600));
  char ib[500];
  ssize_t ir = read(in, ib, 500);
  printf("inotify %s\n", ((struct inotify_event*)ib)->name);
  unlink("ino_h1");
  struct iovec iv[2] = {{"ab", 2}, {"cd\n", 3}};
  fflush(stdout);
  writev(1, iv, 2);
  setlocale(LC_ALL, "C.UTF-8");
  wprintf(L"");
  printf("%zu\n", mbstowcs(0, "äö", 0));
  iconv_t ic = iconv_open("UTF-16LE", "UTF-8");
  char *ip = "ab", op[10], *oq = op;
  size_t il = 2, ol = 10;
  printf("iconv %zu %zu\n", iconv(ic, &ip, &il, &oq, &ol), ol);
  regex_t re;
  regcomp(&re, "a(b+)c", REG_EXTENDED);
  regmatch_t m[2];
  printf("re %d %d\n", regexec(&re, "xxabbbc", 2, m, 0), m[1].rm_eo);
  optind = 1;
  char* av[] = {"p", "-a", "--beta=5", "rest", 0};
  struct option lo[] = {{"beta", 1, 0, 'b'}, {0}};
  int o;
  while ((o = getopt_long(4, av, "a", lo, 0)) != -1) printf("%c %s\n", o, optarg ? optarg : "");
  printf("%d\n", optind);
  fesetround(FE_UPWARD);
  volatile double d = 1.0 / 3;
  printf("%a %d\n", d + 0.0, fegetround() == FE_UPWARD);
  fesetround(FE_TONEAREST);
  feclearexcept(FE_ALL_EXCEPT);
  volatile double z = 0;
  z = 1 / z;
  printf("exc %d\n", !!fetestexcept(FE_DIVBYZERO));
  feenableexcept(FE_INVALID);
  pid_t k = fork();
  if (!k) {
    volatile double q = 0;
    q = q / q * 0;
    q = sqrt(-1.0 - q * 0);
    _exit(0);
  }
  int st;
  waitpid(k, &st, 0);
  printf("fpe %d\n", WIFSIGNALED(st) ? WTERMSIG(st) : -1);
  fedisableexcept(FE_ALL_EXCEPT);
  srandom(5);
  printf("%ld %d\n", random(), rand());
  char tmp[] = "h1XXXXXX";
  int tf = mkstemp(tmp);
  unlink(tmp);
  printf("%d\n", tf > 0);
  printf("%s\n", setlocale(LC_ALL, 0));
}
