/* What AddressSanitizer does in a hosted program, in builds with it; its runtime asks for this
 * before anything else. The program must behave as it does natively, and libmend.so is the only
 * part of it that is instrumented. */
#include <sanitizer/asan_interface.h>

__attribute__((visibility("default"), no_sanitize("address", "undefined"))) const char*
__asan_default_options(void) {
  return
      // libmend.so is in front of the runtime, on purpose.
      "verify_asan_link_order=0:"
      // Faults are the program's own, or libmend's to report; alternate stacks the program's.
      "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:use_sigaltstack=0:"
      // What libc says when there is no memory.
      "allocator_may_return_null=1:"
      // The leak checker does not know the data of hosted text, which holds what the program holds.
      "detect_leaks=0";
}
