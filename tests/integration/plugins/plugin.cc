// A library that nothing of mend compiled, and that refers to the program by name.
#include "host.h"

namespace {

struct Circle : Shape {
  int Area() const override { return 3; }
};

}  // namespace

extern "C" {

int plugin_price() { return host_price(100); }
int plugin_is_own() { return host_is_own(host_price); }
int plugin_count() {
  host_calls += 10;
  return host_calls;
}
int plugin_wait() { return host_wait_for_line(); }
int plugin_shapes() {
  const Square square(5);
  try {
    return 1000 * square.Area() + 10 * SideOf(square) + SideOf(Circle());
  } catch (const HostError& error) {
    return static_cast<int>(error.what.size());
  }
}

}  // extern "C"
