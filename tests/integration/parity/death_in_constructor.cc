// An exception that leaves a constructor, before main.
#include <cstdio>
#include <stdexcept>
static int init() {
  std::puts("init");
  std::fflush(stdout);
  throw std::logic_error("in a constructor");
}
static int v = init();
int main() { return v; }
