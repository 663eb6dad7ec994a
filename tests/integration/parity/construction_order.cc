// The order of constructors, init_array and fini_array, function-local statics.
#include <cstdio>
struct S {
  int n;
  S(int k) : n(k) { std::printf("S%d\n", k); }
  ~S() { std::printf("~S%d\n", n); }
};
S a(1);
__attribute__((init_priority(200))) S b(2);
static S c(3);
inline S d(4);
static void fi(int, char**, char**) { std::puts("init_array"); }
__attribute__((section(".init_array"), used)) void (*ia)(int, char**, char**) = fi;
static void ff() { std::puts("fini_array"); }
__attribute__((section(".fini_array"), used)) void (*fa)() = ff;
static void pi(int, char**, char**) { std::puts("x"); }
S& lazy() {
  static S s(9);
  return s;
}
int main() {
  lazy();
  lazy();
  std::puts("main");
}
