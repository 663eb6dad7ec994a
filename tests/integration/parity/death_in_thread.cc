// An exception that leaves a thread.
#include <stdexcept>
#include <thread>
struct S {
  ~S() noexcept(true) {}
};
int main() {
  std::thread t([] { throw std::runtime_error("in a thread"); });
  t.join();
}
