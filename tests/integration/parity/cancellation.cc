// Cancellation and pthread_exit run destructors and pass through catch (...), from calls of libc,
// from the middle of std::sort, asynchronously; exit() from a thread beside.
#include <cxxabi.h>
#include <pthread.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>
struct G {
  const char* n;
  ~G() { std::printf("~%s\n", n); }
};
static std::atomic<int> ready;
thread_local G tl{"tls"};
static void* a(void*) {
  G g{"a"};
  (void)&tl;
  volatile auto* p = &tl;
  (void)p;
  try {
    ready = 1;
    for (;;) sleep(100);
  } catch (abi::__forced_unwind&) {
    std::puts("forced");
    throw;
  }
  return nullptr;
}
static void* b(void*) {
  G g{"b"};
  std::vector<int> v{3, 2, 1};
  std::sort(v.begin(), v.end(), [](int x, int y) {
    G q{"cmp"};
    ready = 1;
    for (;;) pause();
    return x < y;
  });
  return nullptr;
}
static void* c(void*) {
  G g{"c"};
  std::mutex m;
  std::condition_variable cv;
  std::unique_lock l(m);
  ready = 1;
  for (;;) cv.wait(l);
  return nullptr;
}
static void* d(void*) {
  G g{"d"};
  pthread_exit((void*)42);
}
static void* e(void*) {
  G g{"e"};
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  ready = 1;
  for (volatile long i = 0;; i = i + 1);
  return nullptr;
}
int main() {
  for (auto f : {a, b, c, e}) {
    ready = 0;
    pthread_t t;
    void* r;
    pthread_create(&t, 0, f, 0);
    while (!ready) std::this_thread::yield();
    usleep(2000);
    pthread_cancel(t);
    pthread_join(t, &r);
    std::printf("%d\n", r == PTHREAD_CANCELED);
  }
  pthread_t t;
  void* r;
  pthread_create(&t, 0, d, 0);
  pthread_join(t, &r);
  std::printf("%ld\n", (long)r);
  G m{"main"};
  std::thread([] {
    G k{"k"};
    std::exit(3);
  }).join();
}
