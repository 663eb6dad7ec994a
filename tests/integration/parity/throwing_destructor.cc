// A destructor that throws (it is noexcept): the program's terminate handler sees the exception.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <typeinfo>
struct D {
  ~D() { throw std::logic_error("from destructor"); }
};
int main() {
  std::set_terminate([] {
    try {
      throw;
    } catch (std::exception& e) {
      std::printf("term %s\n", e.what());
      std::fflush(stdout);
    }
    std::abort();
  });
  try {
    D d;
  } catch (...) {
    std::puts("caught?");
  }
}
