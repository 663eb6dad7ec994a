// <threads.h> and <stdatomic.h>.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>
static mtx_t m;
static cnd_t c;
static tss_t k;
static _Thread_local int tl = 3;
static atomic_int sum;
static int turn;
static _Atomic struct {
  long a, b, c, d;
} big;
static void dt(void* p) {
  atomic_fetch_add(&sum, *(int*)p);
  free(p);
}
static int body(void* p) {
  int n = (int)(long)p;
  int* x = malloc(sizeof *x);
  *x = n;
  tss_set(k, x);
  mtx_lock(&m);
  while (turn != n) cnd_wait(&c, &m);
  turn++;
  cnd_broadcast(&c);
  mtx_unlock(&m);
  tl += n;
  if (n == 3) thrd_exit(77);
  return tl;
}
static once_flag of = ONCE_FLAG_INIT;
static void once(void) { puts("once"); }
int main(void) {
  mtx_init(&m, mtx_plain | mtx_recursive);
  mtx_lock(&m);
  mtx_lock(&m);
  mtx_unlock(&m);
  mtx_unlock(&m);
  mtx_destroy(&m);
  mtx_init(&m, mtx_timed);
  cnd_init(&c);
  tss_create(&k, dt);
  thrd_t t[5];
  for (long i = 0; i < 5; i++) thrd_create(&t[i], body, (void*)i);
  for (int i = 0; i < 5; i++) {
    int r;
    thrd_join(t[i], &r);
    printf("%d ", r);
  }
  printf("%d\n", sum);
  call_once(&of, once);
  call_once(&of, once);
  struct timespec ts;
  timespec_get(&ts, TIME_UTC);
  ts.tv_nsec += 1000000;
  if (ts.tv_nsec > 999999999) {
    ts.tv_sec++;
    ts.tv_nsec -= 1000000000;
  }
  mtx_lock(&m);
  printf("%d\n", cnd_timedwait(&c, &m, &ts) == thrd_timedout);
  mtx_unlock(&m);
  thrd_sleep(&(struct timespec){0, 1000}, 0);
  thrd_yield();
  printf("%d\n", thrd_equal(thrd_current(), thrd_current()));
  atomic_thread_fence(memory_order_seq_cst);
  atomic_flag f = ATOMIC_FLAG_INIT;
  printf("%d%d\n", atomic_flag_test_and_set(&f), atomic_flag_test_and_set(&f));
  thrd_exit(5);
}
