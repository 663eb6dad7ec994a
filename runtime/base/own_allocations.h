// OwnAllocations: blocks that a thread of the program's allocates while it works for mend are
// mend's own, whatever malloc the program has (jit/guest_libc/stand_ins.h).
#ifndef MEND_RUNTIME_BASE_OWN_ALLOCATIONS_H_
#define MEND_RUNTIME_BASE_OWN_ALLOCATIONS_H_

// How many OwnAllocations the thread has.
extern "C" __attribute__((tls_model("initial-exec"),
                          visibility("hidden"))) thread_local constinit int mend_own_allocations;

namespace mend {

// While one exists, the calling thread allocates for mend, not for the program.
class OwnAllocations {
 public:
  OwnAllocations() { ++mend_own_allocations; }
  ~OwnAllocations() { --mend_own_allocations; }
  OwnAllocations(const OwnAllocations&) = delete;
  OwnAllocations& operator=(const OwnAllocations&) = delete;
};

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_OWN_ALLOCATIONS_H_
