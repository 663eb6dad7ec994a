// A thread whose stack lies between two pages that nobody may touch: whoever reads beyond its
// bounds dies.
#ifndef MEND_TESTS_RUNTIME_SAFEPOINT_FENCED_THREAD_H_
#define MEND_TESTS_RUNTIME_SAFEPOINT_FENCED_THREAD_H_

#include <pthread.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "runtime/base/check.h"

namespace mend {

// Runs `function` in such a thread, and waits for its end.
inline void RunOnFencedStack(const std::function<void()>& function) {
  constexpr size_t kPage = 4096;
  constexpr size_t kSize = 1 << 20;
  void* const memory =
      mmap(nullptr, kSize + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MEND_CHECK(memory != MAP_FAILED, "no memory for a stack");
  uint8_t* const stack = static_cast<uint8_t*>(memory) + kPage;
  MEND_CHECK(mprotect(stack, kSize, PROT_READ | PROT_WRITE) == 0, "no memory for a stack");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kSize);
  const auto run = [](void* argument) -> void* {
    (*static_cast<const std::function<void()>*>(argument))();
    return nullptr;
  };
  pthread_t thread;
  MEND_CHECK(pthread_create(&thread, &attributes, run,
                            const_cast<void*>(static_cast<const void*>(&function))) == 0,
             "no thread");
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  munmap(memory, kSize + 2 * kPage);
}

}  // namespace mend

#endif  // MEND_TESTS_RUNTIME_SAFEPOINT_FENCED_THREAD_H_
