/* Opens a library with a malloc of its own, which comes last in the process. */
#include <dlfcn.h>
#include <stdio.h>

int main(void) {
  void* module = dlopen("./module.so", RTLD_NOW);
  if (module == NULL) puts(dlerror());
  int (*module_owns)(void) = (int (*)(void))dlsym(module, "module_owns");
  printf("%d\n", module_owns());
  return dlclose(module);
}
