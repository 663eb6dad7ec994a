#include "runtime/safepoint/thread_state.h"

namespace mend {

thread_local constinit ThreadWords tls_thread_words = {};

intptr_t ThreadWordsOffset() {
  uintptr_t thread_pointer;
  __asm__("movq %%fs:0, %0" : "=r"(thread_pointer));
  return static_cast<intptr_t>(reinterpret_cast<uintptr_t>(&tls_thread_words) - thread_pointer);
}

}  // namespace mend
