// A pure virtual function, called in a constructor.
#include <cstdio>
struct A {
  A() { f(); }
  virtual ~A() {}
  virtual void g() = 0;
  void f() { g(); }
};
struct B : A {
  void g() override {}
};
int main() {
  std::puts("x");
  std::fflush(stdout);
  B b;
}
