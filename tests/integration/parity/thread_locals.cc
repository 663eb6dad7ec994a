// Thread-locals of every kind: static, exported, inline, of templates, with constructors and
// destructors, function-local, over-aligned; errno and std::call_once of the host's libraries.
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
struct Loud {
  int n;
  explicit Loud(int k) : n(k) { std::printf("ctor %d\n", n); }
  ~Loud() { std::printf("dtor %d\n", n); }
};
static thread_local int counter = 7;
thread_local int exported = 9;
inline thread_local int in_header = 11;
thread_local Loud loud(1);
thread_local std::string text = "a long enough string to be on the heap";
template <class T>
struct Holder {
  static thread_local T value;
};
template <class T>
thread_local T Holder<T>::value = T(5);
std::once_flag once;
static int local_static() {
  static thread_local Loud l(2);
  return l.n;
}
int main() {
  auto body = [] {
    counter++;
    exported += 2;
    in_header += 3;
    errno = 42;
    Holder<int>::value++;
    std::call_once(once, [] { std::printf("once\n"); });
    std::printf("%d %d %d %d %d %d %s %d\n", counter, exported, in_header, errno, loud.n,
                local_static(), text.c_str(), Holder<int>::value);
  };
  body();
  std::thread(body).join();
  body();
  alignas(64) static thread_local char aligned[64];
  std::printf("%lu\n", (unsigned long)aligned % 64);
}
