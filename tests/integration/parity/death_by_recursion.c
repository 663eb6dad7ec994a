// A stack that overflows, without a handler.
#include <sys/resource.h>
int f(int n) {
  volatile char b[4096];
  b[0] = n;
  return f(n + 1) + b[0];
}
int main(void) {
  struct rlimit r = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_STACK, &r);
  return f(0);
}
