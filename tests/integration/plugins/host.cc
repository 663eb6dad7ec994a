// Opens libraries and calls functions of theirs, as it is told: "open PATH", "call NAME", "next
// NAME".
#include "host.h"

#include <dlfcn.h>

#include <cstring>
#include <iostream>

int host_calls = 7;
// Not inlined: who waits below a plugin is not in the patch.
__attribute__((noinline)) int host_price(int amount) {
  ++host_calls;
  return amount + 1;
}
int host_is_own(int (*price)(int)) { return price == host_price; }
int host_wait_for_line() {
  std::cout << "waiting" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  return static_cast<int>(line.size()) + host_price(0);
}

int Square::Area() const { return side * side; }
int SideOf(const Shape& shape) {
  const auto* square = dynamic_cast<const Square*>(&shape);
  if (square == nullptr) throw HostError{"no square"};
  return square->side;
}

int main() {
  std::cout << "ready" << std::endl;
  void* library = nullptr;
  std::string line;
  while (std::getline(std::cin, line)) {
    const std::string word = line.substr(0, line.find(' '));
    const std::string argument = line.substr(line.find(' ') + 1);
    if (word == "open") {
      library = dlopen(argument.c_str(), RTLD_NOW);
      if (library == nullptr) {
        // The loader names the library, by its path, and the symbol.
        const char* const error = dlerror();
        const char* const symbol = std::strstr(error, "undefined symbol");
        std::cout << (symbol != nullptr ? symbol : error) << std::endl;
      } else {
        std::cout << "opened" << std::endl;
      }
    } else if (word == "call") {
      auto* const function = reinterpret_cast<int (*)()>(dlsym(library, argument.c_str()));
      if (function == nullptr) {
        std::cout << "no " << argument << std::endl;
      } else {
        std::cout << function() << std::endl;
      }
    } else if (word == "next") {
      std::cout << (dlsym(RTLD_NEXT, argument.c_str()) != nullptr ? "found" : "not found")
                << std::endl;
    }
  }
}
