# A hosted program starts under valgrind --tool=none, says what it says natively, and can be patched
# there.
. "$(dirname "$0")/lib.sh"

command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 77; }
valgrind -q --tool=none true >/dev/null 2>&1 || { echo "skipped: valgrind does not run here"; exit 77; }
[ ! -e "$build/lib/libmend-asan.so" ] || { echo "skipped: AddressSanitizer does not run under valgrind"; exit 77; }

hear() { read -r -t 120 -u 8 answer || fail "no output from the program within 120 s"; }

cat >"$work/program.cc" <<'C'
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
static thread_local int calls = 40;
__attribute__((noinline)) static int answer(int n) {
  if (n < 0) throw std::runtime_error("negative");
  return ++calls + n;
}
int main() {
  char text[64];
  setvbuf(stdout, nullptr, _IOLBF, 0);
  while (fgets(text, sizeof text, stdin)) {
    int there = 0;
    std::thread([&there, &text] {
      try {
        there = answer(text[0] == 'n' ? -1 : 1);
      } catch (const std::exception&) {
        there = -1;
      }
    }).join();
    printf("%d %d\n", answer(1), there);
  }
}
C
sed 's/++calls + n/++calls + 100 * n/' "$work/program.cc" >"$work/fixed.cc"
cd "$work"
"$patchc" c++ -O2 program.cc -o program -pthread
diff -u program.cc fixed.cc >fix.patch || true

start valgrind -q --tool=none ./program
ask a "42 42"
ask n "43 -1"
# The process's executable is valgrind: the program's file is the base.
expect_code 0 "$patchc" build -o fix.mendpatch --base program --diff fix.patch --name fix
expect_code 0 "$patchc" apply fix.mendpatch --to "$hosted_pid"
ask a "143 141"
finish
echo ok
