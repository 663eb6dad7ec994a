// An exception that leaves a thread.
#include <stdexcept>
#include <thread>
int main() {
  std::jthread t([] { throw std::out_of_range("in thread"); });
  t.join();
}
