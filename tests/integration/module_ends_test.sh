# Destructors and exit handlers of guest modules, when the program closes them and when they are open at its end, run in
# the order in which they do natively. In ABC- the letters are modules opened one after the other; - closes the last.
. "$(dirname "$0")/lib.sh"
export MEND_OPTIONS=--no-socket

cat >"$work/module.cc" <<'SOURCE'
#include <cstdio>
#include <cstdlib>

namespace {
struct Global {
  Global() { puts("constructed " NAME); }
  ~Global() { puts("destroyed " NAME); }
};
Global global;
__attribute__((constructor)) void Begin() {
  atexit([] { puts("atexit " NAME); });
}
__attribute__((destructor)) void End() { puts("ends " NAME); }
__attribute__((destructor)) void EndFirst() { puts("ends first " NAME); }
__attribute__((destructor(300))) void EndLate() { puts("ends late " NAME); }
__attribute__((destructor(200))) void EndLater() { puts("ends later " NAME); }
}  // namespace

extern "C" void UseLocal() { static Global local; }
SOURCE
cat >"$work/main.cc" <<'SOURCE'
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

#include <string>
#include <vector>

static void* last;
static bool closes_at_end;
struct Global {
  ~Global() {
    if (closes_at_end) printf("closed at the end %d\n", dlclose(last));
    puts("destroyed main");
  }
};
static Global global;
__attribute__((destructor)) static void End() { puts("ends main"); }

int main(int, char** arguments) {
  std::vector<void*> opened;
  for (const char letter : std::string(arguments[1])) {
    if (letter == '!') {
      closes_at_end = true;
    } else if (letter == '-') {
      printf("close %d\n", dlclose(opened.back()));
      opened.pop_back();
    } else {
      opened.push_back(dlopen((std::string("./") + letter + ".so").c_str(), RTLD_NOW));
      if (opened.back() == nullptr) return puts(dlerror());
      reinterpret_cast<void (*)()>(dlsym(opened.back(), "UseLocal"))();
      last = opened.back();
    }
  }
  atexit([] { puts("atexit main"); });
}
SOURCE

build_with() {
  local folder=$work/$1
  shift
  mkdir "$folder"
  (cd "$folder" && for letter in A B C; do
    "$@" -O1 -fPIC -shared "-DNAME=\"$letter\"" ../module.cc -o "$letter.so"
  done && "$@" -O1 -fPIC -shared '-DNAME="D"' ../module.cc -Wl,--no-as-needed ./A.so ./C.so -o D.so &&
    "$@" -O1 ../main.cc -o main) || fail "the $* build fails"
}
build_with native clang++-22
build_with hosted "$patchc" c++

for modules in A ABC CBA A- AB-C AB-- ABA- D DB BD AD DA CBD D- DB-- A! ABC! D!; do
  wanted=$(cd "$work/native" && ./main "$modules" 2>&1; echo "exit $?")
  got=$(cd "$work/hosted" && ./main "$modules" 2>&1; echo "exit $?")
  expect "the end with $modules" "$wanted" "$got"
done
