// When thread-locals are destroyed: in which order, made by destructors, by exit() of another
// thread.
#include <pthread.h>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
struct L {
  const char* n;
  L(const char* x) : n(x) { std::printf("+%s\n", n); }
  ~L() { std::printf("-%s\n", n); }
};
thread_local L a("a");
thread_local L b("b");
static L g("global");
L& local() {
  static thread_local L l("local");
  return l;
}
static pthread_key_t key;
static void end(void* p) { std::printf("key %s %s\n", (char*)p, a.n); }
extern thread_local int ext;
thread_local int ext = std::atoi("55");
struct Chain {
  ~Chain() {
    static thread_local L late("made in a destructor");
    std::printf("chain\n");
  }
};
thread_local Chain chain;
thread_local std::unique_ptr<L> owned;
int main() {
  pthread_key_create(&key, end);
  std::thread([] {
    std::printf("%s %s %d\n", a.n, local().n, ext);
    pthread_setspecific(key, (void*)"x");
    (void)&chain;
    owned = std::make_unique<L>("owned");
    volatile auto p = &chain;
    (void)p;
  }).join();
  std::printf("main %d\n", ext);
  std::atexit([] { std::puts("atexit"); });
  local();
  pthread_setspecific(key, (void*)"main");
  std::thread t([] {
    local();
    std::exit(4);
  });
  t.join();
}
