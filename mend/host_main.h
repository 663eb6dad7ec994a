// The entry point that every executable made by patchc calls (launcher.c).
#ifndef MEND_MEND_HOST_MAIN_H_
#define MEND_MEND_HOST_MAIN_H_

#include <cstddef>

// Hosts the program whose objects lie in `image` (runtime/format/program_image.h) and runs it:
// constructors, main, exit handlers. Returns what main returned; the caller's own return from main
// then exits the process. Ends the process with status 126 and a message when the program cannot
// be hosted; nothing of it has run then.
extern "C" __attribute__((visibility("default"))) int mend_host_main(int argc, char** argv,
                                                                     char** envp, const void* image,
                                                                     size_t image_size);

#endif  // MEND_MEND_HOST_MAIN_H_
