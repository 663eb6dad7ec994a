// A program for explicit patches: something inlined, something that callers know not to throw, a
// unit.
#include <mend/livepatch.h>

#include <cstdio>

__attribute__((noinline)) int Plain(int n) { return n + 1; }
static inline int Small(int n) { return n * 3; }
__attribute__((noinline)) int UsesSmall(int n) { return Small(n) + 1; }
int (*volatile small)(int) = Small;
__attribute__((noinline)) int Quiet(int n) noexcept { return n + 2; }

// Waits for a line in the middle: nobody is switched here.
MEND_UNIT int Unit(char* line, int size) {
  const int before = Plain(0);
  if (std::fgets(line, size, stdin) == nullptr) return -1;
  return before * 1000 + Plain(0);
}

int main() {
  char line[64];
  std::puts("ready");
  std::fflush(stdout);
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    if (line[0] == 'u') {
      std::puts("in unit");
      std::fflush(stdout);
      std::printf("%d\n", Unit(line, sizeof line));
    } else {
      std::printf("%d %d %d\n", Plain(0), UsesSmall(1) + small(1), Quiet(0));
    }
    std::fflush(stdout);
  }
}
