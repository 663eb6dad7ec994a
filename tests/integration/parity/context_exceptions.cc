// Exceptions inside contexts, and caught while others are suspended in handlers.
#include <ucontext.h>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
static ucontext_t caller, fiber;
static std::vector<char> stack(131072);
struct Loud {
  ~Loud() { std::puts("unwound"); }
};
[[gnu::noinline]] static void deep(int n) {
  Loud l;
  if (n == 0) throw std::runtime_error("deep in a context");
  deep(n - 1);
}
static void run() {
  try {
    deep(2);
  } catch (const std::exception& e) {
    std::printf("%s\n", e.what());
    swapcontext(&fiber, &caller);
    std::puts("still handling");
  }
  auto p = std::make_unique<Loud>();
  swapcontext(&fiber, &caller);
  try {
    throw std::string("rethrown");
  } catch (...) {
    try {
      throw;
    } catch (std::string& s) {
      std::puts(s.c_str());
    }
  }
}
int main() {
  getcontext(&fiber);
  fiber.uc_stack.ss_sp = stack.data();
  fiber.uc_stack.ss_size = stack.size();
  fiber.uc_link = &caller;
  makecontext(&fiber, run, 0);
  swapcontext(&caller, &fiber);
  std::puts("main 1");
  swapcontext(&caller, &fiber);
  try {
    throw 5;
  } catch (int i) {
    std::printf("main %d\n", i);
  }
  swapcontext(&caller, &fiber);
  std::puts("end");
}
