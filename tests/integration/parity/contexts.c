// Contexts in the patterns that programs use them in: generators, a round-robin scheduler, contexts
// that end into another one, that are used again, that move between threads, and preemption by a
// signal.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

/* What makecontext needs of a context. */
static void put_on(ucontext_t* context, void* stack, size_t size, ucontext_t* link) {
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = size;
  context->uc_link = link;
}

// --- generators ---
struct generator {
  ucontext_t self, caller;
  int value, done;
  char* stack;
};
static void produce(unsigned low, unsigned high) {
  struct generator* g = (struct generator*)(((unsigned long)high << 32) | low);
  for (int i = 0; i < 5; i++) {
    g->value = i * i;
    swapcontext(&g->self, &g->caller);
  }
  g->done = 1;
}
static void generator_open(struct generator* g, size_t size) {
  g->stack = malloc(size);
  g->done = 0;
  put_on(&g->self, g->stack, size, &g->caller);
  makecontext(&g->self, (void (*)(void))produce, 2, (unsigned)(unsigned long)g,
              (unsigned)((unsigned long)g >> 32));
}
static void generators(void) {
  struct generator a, b;
  generator_open(&a, 16384);
  generator_open(&b, 65536);
  for (;;) {
    swapcontext(&a.caller, &a.self);
    if (a.done) break;
    swapcontext(&b.caller, &b.self);
    printf("gen %d %d\n", a.value, b.value);
  }
  swapcontext(&b.caller, &b.self);
  printf("done %d %d\n", a.done, b.done);
  free(a.stack);
  free(b.stack);
}
// --- scheduler ---
#define TASKS 8
static ucontext_t scheduler, tasks[TASKS];
static int alive[TASKS], current;
static long total;
static void yield(void) { swapcontext(&tasks[current], &scheduler); }
static int nested(int n) {
  volatile char pad[64];
  pad[0] = n;
  if (n == 0) {
    yield();
    return 1;
  }
  int r = nested(n - 1) + pad[0];
  return r;
}
static void task(int number, int rounds) {
  for (int i = 0; i < rounds; i++) {
    total += number + nested(number);
    yield();
  }
  alive[number] = 0;
}
static void schedule(void) {
  static char stacks[TASKS][32768];
  for (int i = 0; i < TASKS; i++) {
    put_on(&tasks[i], stacks[i], sizeof stacks[i], &scheduler);
    makecontext(&tasks[i], (void (*)(void))task, 2, i, i + 3);
    alive[i] = 1;
  }
  int left = TASKS, turns = 0;
  while (left) {
    left = 0;
    for (current = 0; current < TASKS; current++)
      if (alive[current]) {
        left++;
        turns++;
        swapcontext(&scheduler, &tasks[current]);
      }
  }
  printf("scheduled %ld in %d turns\n", total, turns);
}
// --- links and many arguments ---
static ucontext_t first, second, third, home;
static void args(int a, int b, int c, int d, int e, int f, int g, int h) {
  printf("args %d %d %d %d %d %d %d %d\n", a, b, c, d, e, f, g, h);
}
static void say2(void) { puts("second"); }
static void say3(void) { puts("third"); }
static void links(void) {
  static char s1[16384], s2[16384], s3[16384];
  put_on(&first, s1, sizeof s1, &second);
  makecontext(&first, (void (*)(void))args, 8, 1, 2, 3, 4, 5, 6, 7, 8);
  put_on(&second, s2, sizeof s2, &third);
  makecontext(&second, say2, 0);
  put_on(&third, s3, sizeof s3, &home);
  makecontext(&third, say3, 0);
  swapcontext(&home, &first);
  // The same stack and context once more.
  makecontext(&third, say3, 0);
  swapcontext(&home, &third);
  puts("home");
}
// --- getcontext/setcontext as a loop ---
static void loop(void) {
  volatile int count = 0;
  ucontext_t here;
  getcontext(&here);
  if (++count < 4) setcontext(&here);
  printf("loop %d\n", count);
}
// --- a context started by one thread goes on in another ---
static ucontext_t moving, of_thread;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static int moves;
static __thread int mark;
static __attribute__((noinline)) int read_mark(void) {
  __asm__ volatile("" ::: "memory");
  return mark;
}
static void mover(void) {
  for (int i = 0; i < 6; i++) {
    moves = moves * 10 + read_mark();
    swapcontext(&moving, &of_thread);
  }
}
static void* carry(void* number) {
  mark = (int)(long)number;
  pthread_mutex_lock(&mu);
  swapcontext(&of_thread, &moving);
  pthread_mutex_unlock(&mu);
  return NULL;
}
static void moved(void) {
  char* s =
      mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  put_on(&moving, s, 65536, &of_thread);
  makecontext(&moving, mover, 0);
  for (long i = 1; i <= 7; i++) {
    pthread_t t;
    pthread_create(&t, NULL, carry, (void*)i);
    pthread_join(t, NULL);
  }
  printf("moved %d\n", moves);
  munmap(s, 65536);
}
// --- preemption: the handler of a timer switches ---
static ucontext_t workers[3], main_context;
static volatile int turn, stop;
static volatile long work[3], switches;
static void preempt(int s) {
  int from = turn;
  switches++;
  if (stop) {
    swapcontext(&workers[from], &main_context);
    return;
  }
  turn = (from + 1) % 3;
  swapcontext(&workers[from], &workers[turn]);
}
static void worker(int n) {
  for (;;) {
    work[n]++;
    if (switches > 30) stop = 1;
  }
}
static void preempted(void) {
  static char stacks[3][65536];
  struct sigaction sa = {.sa_handler = preempt, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &sa, NULL);
  for (int i = 0; i < 3; i++) {
    put_on(&workers[i], stacks[i], sizeof stacks[i], NULL);
    makecontext(&workers[i], (void (*)(void))worker, 1, i);
  }
  struct itimerval it = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_REAL, &it, NULL);
  swapcontext(&main_context, &workers[0]);
  struct itimerval off = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &off, NULL);
  signal(SIGALRM, SIG_IGN);
  printf("preempted %d %d\n", switches > 30, work[0] > 0 && work[1] > 0 && work[2] > 0);
}
// --- setcontext out of a handler's saved context; longjmp inside a context ---
static ucontext_t jumper, back;
static jmp_buf inside;
static void jump_deep(int n) {
  if (n == 0) longjmp(inside, 5);
  jump_deep(n - 1);
}
static void jumps(void) {
  int r = setjmp(inside);
  if (r == 0) jump_deep(10);
  printf("jumped %d\n", r);
}
static void jumped(void) {
  static char s[32768];
  put_on(&jumper, s, sizeof s, &back);
  makecontext(&jumper, jumps, 0);
  swapcontext(&back, &jumper);
}
// --- a context that ends without a link ends its thread ---
static ucontext_t last, unused;
static void lonely(void) {
  puts("the last one");
  fflush(stdout);
}
static void many(void) {
  // Created, used once, and freed, often.
  long n = 0;
  for (int i = 0; i < 2000; i++) {
    struct generator g;
    generator_open(&g, 16384);
    while (!g.done) {
      swapcontext(&g.caller, &g.self);
      n += !g.done;
    }
    free(g.stack);
  }
  printf("many %ld\n", n);
}
int main(void) {
  generators();
  schedule();
  links();
  loop();
  moved();
  jumped();
  many();
  preempted();
  fflush(stdout);
  static char s[32768];
  put_on(&last, s, sizeof s, NULL);
  makecontext(&last, lonely, 0);
  swapcontext(&unused, &last);
  puts("not reached");
}
