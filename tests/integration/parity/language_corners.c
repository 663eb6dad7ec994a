// Corners of C and of clang's extensions: calling conventions, sections and what is registered in
// them, weak symbols that nobody defines, ifunc and target_clones, vectors, wide and complex types.
// Odd corners of C with clang's extensions.
// Also with: -O3 -march=native -g -fno-plt -fvisibility=hidden
#define _GNU_SOURCE
#include <complex.h>
#include <immintrin.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>
extern int missing_weak(void) __attribute__((weak));
extern int missing_data __attribute__((weak));
__attribute__((weak)) int overridden(void) { return 1; }
static int hid(void) { return 8; }
extern int hidden_alias(void) __attribute__((alias("hid"), visibility("hidden")));
__attribute__((section(".text.mine"), noinline)) int in_section(int x) { return x + 1; }
__attribute__((section("mycode"), noinline)) int in_code(int x) { return x * 2; }
__attribute__((aligned(128), noinline)) int aligned_fn(int x) { return x; }
__attribute__((ms_abi, noinline)) int ms(int a, int b, int c, int d, int e) {
  return a + 2 * b + 3 * c + 4 * d + 5 * e;
}
__attribute__((preserve_most, noinline)) int pm(int x) { return x ^ 5; }
__attribute__((vectorcall, noinline)) double vc(double a, double b) { return a * b; }
__attribute__((regcall, noinline)) int rc(int a, int b, int c, int d, int e, int f, int g) {
  return a + b + c + d + e + f * g;
}
__attribute__((naked, noinline)) int nk(int x) { __asm__("leal 7(%rdi), %eax\n ret"); }
__asm__(
    ".text\n.globl asm_fn\n.type asm_fn,@function\nasm_fn:\n leal (%rdi,%rdi,2), %eax\n ret\n.size "
    "asm_fn,.-asm_fn\n.previous");
int asm_fn(int);
// A symbol that is a number, as `ld -r -b binary` makes them, and versions that the reference
// names.
__asm__(".globl number\n.set number, 0x1234");
extern const char number[];
extern void* old_memcpy(void*, const void*, size_t);
__asm__(".symver old_memcpy, memcpy@GLIBC_2.2.5");
__attribute__((cold, noinline)) int cold_fn(int x) { return x - 1; }
__attribute__((hot)) int hot_fn(int x) { return x + 3; }
struct reg {
  const char* name;
  int (*fn)(int);
};
#define REGISTER(f) \
  __attribute__((used, section("registry"))) static const struct reg reg_##f = {#f, f}
REGISTER(in_section);
REGISTER(in_code);
REGISTER(cold_fn);
REGISTER(hot_fn);
extern const struct reg __start_registry[], __stop_registry[];
extern const char __start_absent[] __attribute__((weak)), __stop_absent[] __attribute__((weak));
int tentative;
int tentative;
static int big_bss[1 << 20];
const char* const table[] = {"a", "b", "c"};
int (*const ops[])(int) = {in_section, in_code, nk};
struct flex {
  int n;
  char data[];
};
struct bits {
  unsigned a : 3;
  int b : 5;
  unsigned long c : 40;
};
union u {
  float f;
  uint32_t i;
};
static void cleaned(int* p) { printf("clean %d\n", *p); }
static int cmp(const void* a, const void* b) { return *(int*)a - *(int*)b; }
static int walked;
static void walk(const void* n, VISIT v, int d) {
  if (v == postorder || v == leaf) walked += **(int**)n;
}
static int impl1(void) { return 1; }
static int impl2(void) { return 2; }
static int (*pick(void))(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse2") ? impl2 : impl1;
}
static int static_ifunc(void) __attribute__((ifunc("pick")));
int (*through_pointer)(void) = static_ifunc;
__attribute__((target_clones("avx2", "sse4.2", "default"))) int sum_clones(const int* p, int n) {
  int s = 0;
  for (int i = 0; i < n; i++) s += p[i];
  return s;
}
__attribute__((target("avx2"), noinline)) static int avx(const int* p) {
  __m256i v = _mm256_loadu_si256((const __m256i*)p);
  v = _mm256_add_epi32(v, v);
  int o[8];
  _mm256_storeu_si256((__m256i*)o, v);
  return o[7];
}
static long long vsum(const char* f, ...) {
  va_list a, b;
  va_start(a, f);
  va_copy(b, a);
  long long s = 0;
  for (const char* p = f; *p; p++) switch (*p) {
      case 'i':
        s += va_arg(a, int);
        break;
      case 'l':
        s += va_arg(a, long long);
        break;
      case 'd':
        s += (long long)va_arg(a, double);
        break;
      case 'D':
        s += (long long)va_arg(a, long double);
        break;
      case 's':
        s += strlen(va_arg(a, char*));
        break;
    }
  s += va_arg(b, int);
  va_end(a);
  va_end(b);
  return s;
}
struct wide {
  long a[10];
};
__attribute__((noinline)) struct wide by_value(struct wide w) {
  w.a[9]++;
  return w;
}
static int nested_sizes(int n) {
  int a[n][n + 1];
  int s = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j <= n; j++) {
      a[i][j] = i * j;
      s += a[i][j];
    }
  char* p = alloca(n * 100);
  memset(p, 1, n * 100);
  return s + p[n * 100 - 1] + (int)sizeof a;
}
static int duff(int n) {
  int c = 0;
  switch (n % 4) {
    case 0:
      do {
        c++;
        case 3:
          c++;
        case 2:
          c++;
        case 1:
          c++;
      } while ((n -= 4) > 0);
  }
  return c;
}
_Noreturn static void leave(void) {
  puts("leaving");
  exit(3);
}
_Static_assert(sizeof(struct bits) == 8, "bits");
int main(void) {
  printf("weak %d %d %d\n", missing_weak == 0, &missing_data == 0, overridden());
  printf("alias %d\n", hidden_alias());
  printf("fns %d %d %d %d %d %.1f %d %d %d\n", in_section(1), in_code(2),
         ((uintptr_t)aligned_fn % 128 == 0) + aligned_fn(0), ms(1, 2, 3, 4, 5), pm(6), vc(1.5, 4),
         rc(1, 2, 3, 4, 5, 6, 7), nk(3), asm_fn(4));
  int sum = 0;
  for (const struct reg* r = __start_registry; r < __stop_registry; r++) {
    sum += r->fn(10);
    printf("%s ", r->name);
  }
  printf("%d %d\n", sum, (int)(__stop_registry - __start_registry));
  printf("absent %d\n", __start_absent == __stop_absent);
  char copied[8];
  old_memcpy(copied, "copied", 7);
  printf("number %lx %s\n", (unsigned long)number, copied);
  printf("bss %d %d\n", big_bss[12345], tentative);
  printf("ifunc %d %d %d\n", static_ifunc(), through_pointer(), through_pointer != 0);
  int v[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  printf("clones %d\n", sum_clones(v, 8));
  if (__builtin_cpu_supports("avx2")) printf("avx %d\n", avx(v));
  printf("va %lld\n", vsum("ildDs", 1, 2LL, 3.5, 4.5L, "hello"));
  struct wide w = {{1, 2, 3}};
  w = by_value(w);
  printf("wide %ld\n", w.a[9] + w.a[2]);
  printf("vla %d duff %d\n", nested_sizes(7), duff(11));
  {
    __attribute__((cleanup(cleaned))) int x = 5;
    x++;
  }
  struct bits b = {.a = 5, .b = -3, .c = 1UL << 39};
  printf("bits %u %d %lx\n", b.a, b.b, (unsigned long)b.c);
  union u u = {.f = 1.5f};
  printf("pun %x\n", u.i);
  struct flex* f = malloc(sizeof *f + 4);
  strcpy(f->data, "abc");
  printf("flex %s %zu\n", f->data, offsetof(struct flex, data));
  qsort(v, 8, sizeof *v, cmp);
  int k = 5;
  printf("bsearch %d\n", *(int*)bsearch(&k, v, 8, sizeof *v, cmp));
  void* root = 0;
  for (int i = 0; i < 8; i++) tsearch(&v[i], &root, cmp);
  twalk(root, walk);
  printf("twalk %d\n", walked);
  double complex z = csqrt(-4 + 0 * I);
  printf("complex %.2f %.2f\n", creal(z), cimag(z));
  long double complex lz = 1.0L + 2.0L * I;
  lz *= lz;
  printf("%.2Lf %.2Lf\n", creall(lz), cimagl(lz));
  printf("ld %.18Lf %.10La %Lf\n", sqrtl(2.0L), 1.0L / 3, powl(2, 100));
  printf("tg %.6f %.6f\n", sqrt(2.0f), sin(1.0));
  __int128 q = ((__int128)0x123456789abcdefULL << 64) / 1000003;
  printf("i128 %llx %llx\n", (unsigned long long)(q >> 64), (unsigned long long)q);
  unsigned __int128 uq = ~(unsigned __int128)0;
  printf("%llu\n", (unsigned long long)(uq % 1000007));
  _Atomic(long) at = 5;
  atomic_fetch_add(&at, 3);
  long want = 8;
  printf("atomic %d %ld\n", atomic_compare_exchange_strong(&at, &want, 20), at);
  static const void* const tgt[] = {&&one, &&two};
  goto* tgt[v[0] == 1];
one:
  puts("one");
two:
  puts("two");
  printf("generic %s\n", _Generic(1.0f, float: "float", default: "other"));
  printf("%s %s\n", __func__,
         (__extension__({
           int y = 3;
           y > 2;
         }))
             ? "stmt"
             : "");
  printf("ret %d frame %d\n", __builtin_return_address(0) != 0, __builtin_frame_address(0) != 0);
  unsigned long long ov;
  printf("ovf %d\n", __builtin_mul_overflow(1ULL << 63, 2, &ov));
  typedef float v4 __attribute__((vector_size(16)));
  v4 x = {1, 2, 3, 4};
  x = x * x + 1;
  printf("vec %.1f\n", x[3]);
  typedef _Float16 h;
  h hh = 1.5f16;
  printf("half %.2f\n", (double)(hh * hh));
  _BitInt(77) bi = (_BitInt(77))1 << 70;
  printf("bitint %d\n", (int)(bi >> 68));
  char out[64];
  memset(out, 0, 64);
  const char* src = "rep movs";
  char* dst = out;
  unsigned long n = 9;
  __asm__ volatile("rep movsb" : "+S"(src), "+D"(dst), "+c"(n)::"memory");
  puts(out);
  printf("%d %s %s\n", ops[2](1), table[1], strerror(2));
  leave();
}
