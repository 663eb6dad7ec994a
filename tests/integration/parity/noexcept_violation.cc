// An exception out of a noexcept function.
#include <cstdio>
#include <stdexcept>
__attribute__((noinline)) void thrower(int n) {
  if (n) throw std::runtime_error("in noexcept");
}
__attribute__((noinline)) void f(int n) noexcept {
  thrower(n);
  std::puts("no");
}
int main(int c, char**) { f(c); }
