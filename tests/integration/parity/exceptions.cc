// Exceptions: through frames with destructors, through the standard library's own frames, from
// constructors, rethrown, across threads; uncaught ones end the program in terminate.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <future>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct Guard {
  explicit Guard(int i) : number(i) {}
  ~Guard() { std::printf("unwound %d\n", number); }
  int number;
};

__attribute__((noinline)) void Throw(int depth) {
  const Guard guard(depth);
  if (depth == 0) throw std::out_of_range("deep");
  Throw(depth - 1);
}

int main() {
  try {
    Throw(3);
  } catch (const std::logic_error& error) {
    std::printf("caught %s\n", error.what());
  }
  std::vector<int> values = {3, 1, 2};
  try {
    std::sort(values.begin(), values.end(), [](int, int) -> bool { throw 5; });
  } catch (int number) {
    std::printf("caught %d\n", number);
  }
  try {
    std::printf("%d\n", std::map<int, int>().at(4));
  } catch (const std::exception&) {
    std::puts("caught from the library");
  }
  auto future = std::async(std::launch::async, [] {
    Throw(1);
    return 1;
  });
  try {
    future.get();
  } catch (const std::exception& error) {
    std::printf("caught from a thread: %s\n", error.what());
  }
  try {
    try {
      throw std::runtime_error("inner");
    } catch (...) {
      std::throw_with_nested(std::logic_error("outer"));
    }
  } catch (const std::exception& error) {
    std::printf("caught %s\n", error.what());
  }
  std::fflush(stdout);
  throw std::runtime_error("uncaught");
}
