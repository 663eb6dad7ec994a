/* The main function of every executable that patchc makes. The executable holds the program's
 * objects in its section `mend_program`; libmend.so links and runs them. */
#include <stddef.h>

extern const char __start_mend_program[] __attribute__((visibility("hidden")));
extern const char __stop_mend_program[] __attribute__((visibility("hidden")));

int mend_host_main(int argc, char** argv, char** envp, const void* image, size_t image_size);

int main(int argc, char** argv, char** envp) {
  return mend_host_main(argc, argv, envp, __start_mend_program,
                        (size_t)(__stop_mend_program - __start_mend_program));
}
