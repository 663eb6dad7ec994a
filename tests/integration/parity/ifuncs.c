// ifunc and target_clones: in static tables, before constructors, called and by address.
// Also with: -O3 -march=native -fno-plt
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int resolved;
static int inited;
static int a(int x) { return x + 1; }
static int b(int x) { return x + 2; }
static int (*res(void))(int) {
  resolved++;
  return a;
}
int f(int) __attribute__((ifunc("res")));
static int g(int) __attribute__((ifunc("res")));
int (*const table[])(int) = {f, g};
static int (*volatile vp)(int) = f;
__attribute__((constructor(101))) static void c(void) {
  printf("ctor %d %d\n", f(1), table[1](2));
  inited = 1;
}
__attribute__((target_clones("default", "avx2", "arch=skylake-avx512"))) double dot(const double* x,
                                                                                    const double* y,
                                                                                    int n) {
  double s = 0;
  for (int i = 0; i < n; i++) s += x[i] * y[i];
  return s;
}
static __attribute__((target_clones("default", "avx2"))) int sc(int n) { return n * 7; }
double (*dp)(const double*, const double*, int) = dot;
__attribute__((target("default"))) int tv(void) { return 0; }
int main(void) {
  printf("%d %d %d\n", f(1), g(2), vp(3));
  printf("%d %d\n", resolved > 0, inited);
  double x[9], y[9];
  for (int i = 0; i < 9; i++) x[i] = y[i] = i;
  printf("%.1f %.1f %d\n", dot(x, y, 9), dp(x, y, 9), sc(3));
}
