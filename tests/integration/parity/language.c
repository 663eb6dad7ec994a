// C and its extensions: longjmp through frames, contexts, varargs, computed goto, __int128, long
// double, _Complex, 512-bit vectors, weak and alias symbols, section tables, ifunc, target_clones.
// Also with: -O1 -march=native -fno-plt -fvisibility=hidden
#define _GNU_SOURCE
#include <alloca.h>
#include <complex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
static jmp_buf jb;
static int depth(int n) {
  char v[n + 1];
  memset(v, n, sizeof v);
  if (n == 0) longjmp(jb, 7);
  return depth(n - 1) + v[0];
}
static int sum(int n, ...) {
  va_list ap;
  va_start(ap, n);
  double s = 0;
  for (int i = 0; i < n; i++) s += i % 2 ? va_arg(ap, double) : va_arg(ap, int);
  va_end(ap);
  return (int)s;
}
static int interp(const char* p) {
  static void* const t[] = {&&add, &&sub, &&end};
  int a = 0;
  goto* t[*p++ - 'a'];
add:
  a += 2;
  goto* t[*p++ - 'a'];
sub:
  a -= 1;
  goto* t[*p++ - 'a'];
end:
  return a;
}
static ucontext_t m, f;
static char stack[65536];
static int steps;
static void fiber(int a, int b) {
  steps += a;
  swapcontext(&f, &m);
  steps += b;
}
typedef int v16 __attribute__((vector_size(64)));
__attribute__((noinline)) static v16 addv(v16 a, v16 b) { return a + b; }
__attribute__((weak)) int weak_fn(void) { return 1; }
int aliased(void) { return 77; }
int alias_name(void) __attribute__((alias("aliased")));
__attribute__((section("my_tab"), used)) static int e1 = 1;
__attribute__((section("my_tab"), used)) static int e2 = 2;
extern int __start_my_tab[], __stop_my_tab[];
int common_var;
static int impl_a(void) { return 5; }
static int (*res(void))(void) { return impl_a; }
int chosen(void) __attribute__((ifunc("res")));
__attribute__((target_clones("avx2", "default"))) int clones(int x) { return x * 3; }
int main(void) {
  int r = setjmp(jb);
  if (!r) depth(20);
  printf("jmp %d\n", r);
  printf("%d\n", sum(4, 1, 2.5, 3, 4.5));
  printf("%d\n", interp("aabac"));
  getcontext(&f);
  f.uc_stack.ss_sp = stack;
  f.uc_stack.ss_size = sizeof stack;
  f.uc_link = &m;
  makecontext(&f, (void (*)(void))fiber, 2, 3, 4);
  swapcontext(&m, &f);
  printf("steps %d\n", steps);
  swapcontext(&m, &f);
  printf("steps %d\n", steps);
  __int128 big = (__int128)1 << 100;
  printf("%llx %llx\n", (unsigned long long)(big >> 64), (unsigned long long)(big / 3));
  long double ld = 1.0L / 3;
  printf("%.20Lf\n", ld);
  double complex z = cexp(I * 3.14159265358979);
  printf("%.3f %.3f\n", creal(z), cimag(z));
  v16 a = {0}, b = {0};
  for (int i = 0; i < 16; i++) {
    a[i] = i;
    b[i] = 2 * i;
  }
  v16 c = addv(a, b);
  printf("%d\n", c[15]);
  printf("%d %d %d\n", weak_fn(), alias_name(), (int)(__stop_my_tab - __start_my_tab));
  printf("%d\n", common_var);
  int x;
  __asm__("movl $5,%0" : "=r"(x));
  printf("%d\n", x);
  printf("%d %d\n", chosen(), clones(4));
  printf("%d\n", aliased == alias_name);
}
