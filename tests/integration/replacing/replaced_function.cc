// Functions of libc in the program's place: libstdc++ writes through them.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

static int writes = 0;

extern "C" ssize_t write(int descriptor, const void* bytes, size_t size) {
  static auto* const next =
      reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(dlsym(RTLD_NEXT, "write"));
  ++writes;
  return next(descriptor, bytes, size);
}

int main() {
  {
    std::ofstream file("/dev/null");
    file << "some text" << std::flush << "and more" << std::flush;
  }
  std::cout << "writes: " << writes << std::endl;
  std::cout << (dlsym(RTLD_DEFAULT, "write") == reinterpret_cast<void*>(&write) ? "mine"
                                                                                : "not mine")
            << std::endl;
  return 0;
}
