// iostream, locale-free formatting, containers, RTTI, long jumps, variable arguments.
#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <vector>

struct Shape {
  virtual ~Shape() = default;
  virtual double Area() const = 0;
};
struct Square : Shape {
  explicit Square(double s) : side(s) {}
  double Area() const override { return side * side; }
  double side;
};
struct Circle : Shape {
  double Area() const override { return 3.0; }
};

static std::jmp_buf there;

__attribute__((noinline)) void Jump(int depth) {
  if (depth == 0) std::longjmp(there, 3);
  Jump(depth - 1);
  std::puts("not reached");
}

static int Sum(int count, ...) {
  va_list list;
  va_start(list, count);
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += va_arg(list, int);
  va_end(list);
  return sum;
}

int main() {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << "line " << std::quoted(line) << '\n';
  std::vector<std::unique_ptr<Shape>> shapes;
  shapes.push_back(std::make_unique<Square>(2.5));
  shapes.push_back(std::make_unique<Circle>());
  for (const auto& shape : shapes) {
    const Shape& object = *shape;
    std::cout << typeid(object).name() << ' ' << std::fixed << std::setprecision(3) << shape->Area()
              << ' ' << (dynamic_cast<Square*>(shape.get()) != nullptr) << '\n';
  }
  std::unordered_map<std::string, int> counts;
  std::istringstream words("a b a c a");
  for (std::string word; words >> word;) ++counts[word];
  std::cout << counts["a"] << counts["b"] << counts["c"] << std::endl;
  if (setjmp(there) == 0) {
    Jump(4);
  } else {
    std::cout << "jumped\n";
  }
  std::cout << Sum(4, 1, 2, 3, 4) << std::endl;
  std::cerr << "done" << std::endl;
  return static_cast<int>(counts.size());
}
