// Addresses in static data: of labels, packed, of aliases, of weak symbols, in sections of their
// own. Also with: -O3 -march=native -g -fno-plt -fvisibility=hidden -ffunction-sections
#include <stddef.h>
#include <stdio.h>
extern int f1(int);
static int loop(const unsigned char* p) {
  static const int off[] = {&&a - &&a, &&b - &&a, &&c - &&a};
  static void* tab[] = {&&a, &&b, &&c};
  int s = 0;
  goto* tab[*p++];
a:
  s += 1;
  goto*(&&a + off[*p++]);
b:
  s *= 3;
  goto* tab[*p++];
c:
  return s;
}
struct S {
  int (*f)(int);
  const char* n;
  void* self;
  ptrdiff_t d;
};
static int g(int x) { return x + 1; }
int f1(int x) { return x * 2; }
static struct S s = {g, "g", &s, 0};
static struct S arr[] = {{f1, "f1", &arr[1], 0}, {g, "g", &arr[0], 0}};
static const struct {
  unsigned char op;
  int (*fn)(int);
} packed[] __attribute__((aligned(1))) = {{1, g}, {2, f1}};
#pragma pack(push, 1)
static struct {
  char c;
  void* p;
  int (*f)(int);
} pk = {1, &pk, f1};
#pragma pack(pop)
static int sw(int x) {
  switch (x) {
    case 0:
      return 5;
    case 1:
      return 7;
    case 2:
      return 1;
    case 3:
      return 99;
    case 4:
      return 4;
    case 5:
      return 77;
    case 6:
      return f1(x);
    case 7:
      return g(x);
    default:
      return -1;
  }
}
extern int weakf(int) __attribute__((weak));
int (*wp)(int) = weakf;
extern int al(int) __attribute__((alias("f1")));
static int sal(int) __attribute__((alias("g"), used));
extern int wal(int) __attribute__((weak, alias("f1")));
static int (*const jt[])(int) = {g, f1, al, sal, wal};
__attribute__((visibility("protected"))) int prot(int x) { return x + 9; }
const char str1[] = "tail merge", *str2 = "merge";
static wchar_t w[] = L"wide";
__attribute__((section(".rodata.mine"))) const int mine = 4;
__attribute__((section(".data.rel.ro"))) int* const relro = (int*)&mine;
__attribute__((section(".bss.x"))) static int bssx;
__attribute__((aligned(4096))) static char page[4096];
__attribute__((nocommon)) int nc;
__attribute__((section("noinit_x"))) int own = 3;
__attribute__((section("own_text"), noinline)) static int first_own(int x) { return x + 20; }
__attribute__((section("own_text"), noinline)) int second_own(int x) { return first_own(x) + 1; }
extern const char __start_own_text[], __stop_own_text[];
static int is_own(int (*f)(int)) {
  return (const char*)f >= __start_own_text && (const char*)f < __stop_own_text;
}
int main(void) {
  unsigned char p[] = {1, 0, 1, 0, 2};
  printf("%d\n", loop(p));
  int t = 0;
  for (int i = 0; i < 5; i++) t += jt[i](i);
  printf("%d %d %d %d\n", t, s.f(1), ((struct S*)arr[0].self)->f(4), ((struct S*)s.self)->n[0]);
  printf("%d %d %d\n", packed[1].fn(4), pk.f(3), pk.p == &pk);
  int k = 0;
  for (int i = -1; i < 9; i++) k += sw(i);
  printf("%d %d %d %d\n", k, wp == 0, prot(1), *relro);
  printf("%d %d %d %s %ls %d\n", (int)((size_t)page % 4096), nc, bssx, str2, w, own);
  printf("%d %d\n", al == f1, jt[2] == f1);
  printf("%d %d %d %d\n", first_own(1), is_own(first_own), is_own(second_own), is_own(prot));
  printf("%d\n", second_own(1));
}
