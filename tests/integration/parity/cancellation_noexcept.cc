// Cancellation out of a noexcept function ends the program.
#include <pthread.h>
#include <unistd.h>
#include <atomic>
#include <cstdio>
std::atomic<int> r;
static void f() noexcept {
  r = 1;
  for (;;) pause();
}
static void* a(void*) {
  try {
    f();
  } catch (...) {
    std::puts("swallowed");
  }
  return nullptr;
}
int main() {
  pthread_t t;
  pthread_create(&t, 0, a, 0);
  while (!r);
  pthread_cancel(t);
  pthread_join(t, 0);
  std::puts("joined");
}
