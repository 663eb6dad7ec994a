// Constructors, destructors, atexit, function statics: order and count.
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

struct Noisy {
  explicit Noisy(const char* text) : name(text) { std::printf("construct %s\n", name.c_str()); }
  ~Noisy() { std::printf("destroy %s\n", name.c_str()); }
  std::string name;
};

Noisy first("first");
Noisy second("second");

const Noisy& Local() {
  static const Noisy local("local");
  return local;
}

__attribute__((constructor(101))) void Early() { std::puts("early"); }
__attribute__((destructor)) void Late() { std::puts("late"); }

void Handler() { std::puts("atexit handler"); }

struct Deep {
  ~Deep() { std::puts("never: exit() does not unwind"); }
};

void Leave(int depth) {
  const Deep deep;
  if (depth == 0) std::exit(7);
  Leave(depth - 1);
}

}  // namespace

int main() {
  std::atexit(Handler);
  std::printf("%s\n", Local().name.c_str());
  std::printf("%s\n", Local().name.c_str());
  Leave(3);
}
