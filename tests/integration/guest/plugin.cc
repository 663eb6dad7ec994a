// A C++ guest module: thread-locals, exceptions, constructors, the program's data, a library's
// function.
#include <mend/livepatch.h>

#include <cmath>
#include <stdexcept>

extern "C" int shared_value;

static thread_local int calls = 40;

struct Lifetime {
  Lifetime() { mend_log("plugin: constructed"); }
  ~Lifetime() { mend_log("plugin: destroyed"); }
};
static Lifetime lifetime;

__attribute__((noinline)) static int Checked(int n) {
  if (n == 3) throw std::runtime_error("three");
  return 0;
}

extern "C" __attribute__((noinline)) int plugin_part(int n) { return n; }

extern "C" int plugin_call(int n) {
  int caught = 0;
  try {
    Checked(n);
  } catch (const std::exception&) {
    caught = 100;
  }
  return caught + plugin_part(n) + shared_value + calls++ + static_cast<int>(std::cos(0.0));
}

static int Init() {
  mend_log("plugin: init");
  return 0;
}
static void Exit() { mend_log("plugin: exit"); }
MEND_MODULE_INIT(Init);
MEND_MODULE_EXIT(Exit);
