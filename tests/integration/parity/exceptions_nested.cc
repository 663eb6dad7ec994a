// Exceptions through qsort, nested in one another, out of and within destructors, over threads,
// beside forced unwinding; rethrown when there is none.
#include <cxxabi.h>
#include <ftw.h>
#include <pthread.h>
#include <search.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <typeinfo>
struct E : std::runtime_error {
  using std::runtime_error::runtime_error;
  int k = 5;
};
struct V {
  virtual ~V() {}
};
struct W : virtual V {};
struct X : W, E {
  X() : E("x") {}
};
struct G {
  int i;
  ~G() { std::printf("g%d %d\n", i, std::uncaught_exceptions()); }
};
static int depth;
static int cmp(const void* a, const void* b) {
  G g{depth};
  if (++depth < 4) {
    int v[3] = {3, 2, 1};
    try {
      std::qsort(v, 3, sizeof(int), cmp);
    } catch (E& e) {
      std::printf("c %s %d\n", e.what(), depth);
      throw;
    }
  }
  throw E("deep");
}
struct Loud {
  ~Loud() noexcept(false) { throw 5; }
};
struct InDtor {
  ~InDtor() {
    try {
      throw 1;
    } catch (int i) {
      std::printf("in dtor %d\n", i);
    }
  }
};
static void* thr(void* p) {
  try {
    std::rethrow_exception(*(std::exception_ptr*)p);
  } catch (V&) {
    std::puts("V");
  }
  return nullptr;
}
extern "C" void* forced(void*) {
  G g{99};
  try {
    pthread_exit(nullptr);
  } catch (abi::__forced_unwind&) {
    std::puts("forced");
    throw;
  } catch (...) {
    std::puts("no");
    throw;
  }
}
int main() {
  int v[3] = {1, 2, 3};
  try {
    std::qsort(v, 3, sizeof(int), cmp);
  } catch (std::exception& e) {
    std::printf("%s %s\n", e.what(), typeid(e).name());
  }
  try {
    Loud l;
  } catch (int i) {
    std::printf("loud %d\n", i);
  }
  try {
    InDtor d;
    throw 2;
  } catch (int i) {
    std::printf("out %d\n", i);
  }
  std::exception_ptr p;
  try {
    throw X();
  } catch (...) {
    p = std::current_exception();
  }
  pthread_t t;
  pthread_create(&t, 0, thr, &p);
  pthread_join(t, 0);
  pthread_create(&t, 0, forced, 0);
  pthread_join(t, 0);
  try {
    throw;
  } catch (...) {
    std::puts("no");
  }
}
