// Thread-locals with destructors in a library that is opened while the program runs, and an
// exception out of it.
#include <dlfcn.h>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>
static const char* src = R"(
#include <cstdio>
#include <string>
struct L{ std::string s; L():s("a long string living on the heap, surely"){std::printf("+L\n");} ~L(){std::printf("-L %s\n",s.c_str());} };
thread_local L l; thread_local int plain=7;
extern "C" int touch(){ l.s+="x"; return plain++; }
extern "C" void thrower(){ throw 4; }
struct S{~S(){std::printf("lib static gone\n");}} s;
)";
int main() {
  {
    std::ofstream("lib.cc") << src;
  }
  if (std::system("clang++-22 -shared -fPIC -O1 lib.cc -o libx.so")) return 9;
  void* h = dlopen("./libx.so", RTLD_NOW);
  if (!h) {
    std::puts(dlerror());
    return 1;
  }
  auto touch = (int (*)())dlsym(h, "touch");
  auto thr = (void (*)())dlsym(h, "thrower");
  std::thread([&] {
    std::printf("%d %d\n", touch(), touch());
    std::printf("closed %d\n", dlclose(h));
  }).join();
  h = dlopen("./libx.so", RTLD_NOW);
  touch = (int (*)())dlsym(h, "touch");
  thr = (void (*)())dlsym(h, "thrower");
  try {
    thr();
  } catch (int i) {
    std::printf("caught %d\n", i);
  }
  std::printf("main %d\n", touch());
  std::printf("%d\n", dlclose(h));
  std::remove("libx.so");
  std::remove("lib.cc");
}
