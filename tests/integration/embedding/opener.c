// A program that knows nothing of mend, and opens a library that embeds it.
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  void* const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (argc != 2 || library == NULL) {
    fprintf(stderr, "opener: %s\n", dlerror());
    return 1;
  }
  int (*const serve)(void) = (int (*)(void))dlsym(library, "serve");
  const int code = serve();
  // The runtime's threads and hosted code are still there.
  return dlclose(library) == 0 ? code : 2;
}
