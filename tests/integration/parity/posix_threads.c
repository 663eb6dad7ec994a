// POSIX and C11 threads: keys, stacks of the program's own and of the least size, cancellation,
// robust mutexes, raw clones, forks beside running threads, a main thread that ends first.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
static pthread_key_t key;
static int destroyed;
static void destroy(void* p) { destroyed += (int)(long)p; }
static pthread_key_t obstinate_key;
static void obstinate(void* p) {
  printf("round %ld\n", (long)p);
  fflush(stdout);
  pthread_setspecific(obstinate_key, (void*)((long)p + 1));
}
static void* begins_rounds(void* p) {
  pthread_setspecific(obstinate_key, (void*)1L);
  return p;
}
static void* keyed(void* p) {
  pthread_setspecific(key, p);
  return pthread_getspecific(key);
}
static __thread int tls = 3;
static __thread char big[800];
static void* small(void* p) {
  char b[1024];
  memset(b, 7, sizeof b);
  tls++;
  big[799] = 1;
  char line[100];
  snprintf(line, sizeof line, "%d %d", tls, b[5]);
  return (void*)(long)(line[0] - '0');
}
static void* exits(void* p) { pthread_exit((void*)5L); }
static void* async(void* p) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
  __atomic_store_n((int*)p, 1, __ATOMIC_SEQ_CST);
  for (volatile long i = 0;; i++) {
  }
}
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static void unlock(void* p) {
  pthread_mutex_unlock(p);
  puts("unlocked by cleanup");
}
static void* cond_cancel(void* p) {
  pthread_mutex_lock(&mu);
  pthread_cleanup_push(unlock, &mu);
  __atomic_store_n((int*)p, 1, __ATOMIC_SEQ_CST);
  for (;;) pthread_cond_wait(&cv, &mu);
  pthread_cleanup_pop(0);
  return 0;
}
static void* robust_owner(void* p) {
  pthread_mutex_lock(p);
  return 0;
}
static int c11(void* p) { return tls + (int)(long)p; }
static once_flag flag = ONCE_FLAG_INIT;
static int onces;
static void once(void) { onces++; }
static int clone_body(void* p) {
  __atomic_fetch_add((int*)p, 5, __ATOMIC_SEQ_CST);
  return 0;
}
static void* stack_info(void* p) {
  pthread_attr_t a;
  pthread_getattr_np(pthread_self(), &a);
  void* s;
  size_t n;
  pthread_attr_getstack(&a, &s, &n);
  char c;
  return (void*)(long)(&c > (char*)s && &c < (char*)s + n);
}
static pthread_barrier_t bar;
static void* at_barrier(void* p) {
  return (void*)(long)(pthread_barrier_wait(&bar) == PTHREAD_BARRIER_SERIAL_THREAD);
}
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static void* reader(void* p) {
  pthread_rwlock_rdlock(&rw);
  usleep(100);
  pthread_rwlock_unlock(&rw);
  return 0;
}
static void* forker(void* p) {
  pid_t k = fork();
  if (!k) {
    tls = 9;
    pthread_t t;
    pthread_create(&t, 0, small, 0);
    void* r;
    pthread_join(t, &r);
    _exit((int)(long)r);
  }
  int st;
  waitpid(k, &st, 0);
  return (void*)(long)WEXITSTATUS(st);
}
static void* busy(void* p) {
  while (!__atomic_load_n((int*)p, __ATOMIC_RELAXED)) {
    free(malloc(100));
  }
  return 0;
}
static void* uses_stack(void* p) {
  char bytes[40000];
  memset(bytes, 1, sizeof bytes);
  printf("stack %d\n", bytes[20000]);
  return p;
}
int main(void) {
  void* r;
  pthread_t t, ts[16];
  pthread_attr_t a;
  pthread_key_create(&key, destroy);
  pthread_create(&t, 0, keyed, (void*)11L);
  pthread_join(t, &r);
  printf("key %ld %d\n", (long)r, destroyed);
  // A stack of the program's own, of the least size.
  static char own[16384] __attribute__((aligned(4096)));
  pthread_attr_init(&a);
  printf("setstack %d\n", pthread_attr_setstack(&a, own, sizeof own));
  int e = pthread_create(&t, &a, keyed, (void*)12L);
  printf("own stack %d\n", e);
  if (!e) {
    pthread_join(t, &r);
    printf("%ld\n", (long)r);
  }
  static char own2[65536] __attribute__((aligned(4096)));
  pthread_attr_setstack(&a, own2, sizeof own2);
  e = pthread_create(&t, &a, small, 0);
  printf("own stack %d\n", e);
  if (!e) {
    pthread_join(t, &r);
    printf("%ld\n", (long)r);
  }
  pthread_attr_destroy(&a);
  pthread_attr_init(&a);
  printf("min %d\n", pthread_attr_setstacksize(&a, PTHREAD_STACK_MIN));
  size_t got;
  pthread_attr_getstacksize(&a, &got);
  printf("size %d\n", got == (size_t)PTHREAD_STACK_MIN);
  e = pthread_create(&t, &a, small, 0);
  printf("%d\n", e);
  pthread_join(t, &r);
  printf("%ld\n", (long)r);
  pthread_create(&t, 0, exits, 0);
  pthread_join(t, &r);
  printf("exit %ld\n", (long)r);
  int started = 0;
  pthread_create(&t, 0, async, &started);
  while (!__atomic_load_n(&started, __ATOMIC_SEQ_CST)) sched_yield();
  pthread_cancel(t);
  pthread_join(t, &r);
  printf("async %d\n", r == PTHREAD_CANCELED);
  started = 0;
  pthread_create(&t, 0, cond_cancel, &started);
  while (!__atomic_load_n(&started, __ATOMIC_SEQ_CST)) sched_yield();
  usleep(1000);
  pthread_cancel(t);
  pthread_join(t, &r);
  printf("cond %d %d\n", r == PTHREAD_CANCELED, pthread_mutex_trylock(&mu));
  pthread_mutexattr_t ma;
  pthread_mutexattr_init(&ma);
  pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_t rm;
  pthread_mutex_init(&rm, &ma);
  pthread_create(&t, 0, robust_owner, &rm);
  pthread_join(t, 0);
  printf("robust %d\n", pthread_mutex_lock(&rm) == EOWNERDEAD);
  pthread_mutex_consistent(&rm);
  pthread_mutex_unlock(&rm);
  pthread_mutexattr_settype(&ma, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_STALLED);
  pthread_mutex_init(&rm, &ma);
  pthread_mutex_lock(&rm);
  printf("errorcheck %d\n", pthread_mutex_lock(&rm) == EDEADLK);
  thrd_t h;
  int code;
  thrd_create(&h, c11, (void*)4L);
  thrd_join(h, &code);
  call_once(&flag, once);
  call_once(&flag, once);
  printf("c11 %d %d\n", code, onces);
  char* cs = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int shared = 1;
  pid_t k = clone(clone_body, cs + 65536, CLONE_VM | SIGCHLD, &shared);
  waitpid(k, 0, 0);
  printf("clone %d\n", shared);
  pthread_create(&t, 0, stack_info, 0);
  pthread_join(t, &r);
  printf("stack %ld %ld\n", (long)r, (long)stack_info(0));
  pthread_barrier_init(&bar, 0, 4);
  int serial = 0;
  for (int i = 0; i < 4; i++) pthread_create(&ts[i], 0, at_barrier, 0);
  for (int i = 0; i < 4; i++) {
    pthread_join(ts[i], &r);
    serial += (int)(long)r;
  }
  printf("barrier %d\n", serial);
  for (int i = 0; i < 8; i++) pthread_create(&ts[i], 0, reader, 0);
  pthread_rwlock_wrlock(&rw);
  pthread_rwlock_unlock(&rw);
  for (int i = 0; i < 8; i++) pthread_join(ts[i], 0);
  struct timespec ts0;
  clock_gettime(CLOCK_REALTIME, &ts0);
  ts0.tv_nsec += 5000000;
  if (ts0.tv_nsec > 999999999) {
    ts0.tv_sec++;
    ts0.tv_nsec -= 1000000000;
  }
  sem_t s;
  sem_init(&s, 0, 0);
  printf("sem %d %d\n", sem_timedwait(&s, &ts0), errno == ETIMEDOUT);
  pthread_setname_np(pthread_self(), "renamed");
  char nm[16];
  pthread_getname_np(pthread_self(), nm, 16);
  puts(nm);
  int stop = 0;
  for (int i = 0; i < 3; i++) pthread_create(&ts[i], 0, busy, &stop);
  for (int i = 0; i < 5; i++) {
    pthread_create(&t, 0, forker, 0);
    pthread_join(t, &r);
    printf("fork %ld\n", (long)r);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 3; i++) pthread_join(ts[i], 0);
  printf("gettid %d\n", syscall(SYS_gettid) == getpid());
  // Defaults as small as `ulimit -s` makes them.
  pthread_attr_init(&a);
  printf("default %d %d", pthread_attr_setstacksize(&a, 65536), pthread_setattr_default_np(&a));
  printf(" %d\n", pthread_create(&t, 0, uses_stack, 0));
  pthread_join(t, 0);
  // Values that come again are destroyed so often, in all threads.
  pthread_key_create(&obstinate_key, obstinate);
  pthread_create(&t, 0, begins_rounds, 0);
  pthread_join(t, 0);
  begins_rounds(0);
  pthread_create(&t, 0, exits, 0);
  pthread_detach(t);
  fflush(stdout);
  pthread_exit(0);
}
