// What the program offers its plugins.
#ifndef MEND_TESTS_PLUGINS_HOST_H_
#define MEND_TESTS_PLUGINS_HOST_H_

#include <string>

extern "C" {
extern int host_calls;
int host_price(int amount);
int host_wait_for_line(void);
// Whether the plugin's address of host_price is the program's.
int host_is_own(int (*price)(int));
}

struct Shape {
  virtual ~Shape() = default;
  virtual int Area() const = 0;
};
struct Square : Shape {
  explicit Square(int s) : side(s) {}
  int Area() const override;
  int side;
};
struct HostError {
  std::string what;
};
// Throws a HostError for anything that is no Square.
int SideOf(const Shape& shape);

#endif  // MEND_TESTS_PLUGINS_HOST_H_
