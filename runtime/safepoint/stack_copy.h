// StackCopy: the live part of a suspended context's stack, copied, for a walk. The program may free
// that memory at any moment, since nobody has to say that a context will not be gone back to; so it
// is read by a system call, which fails where a load would end the process.
//
// Thread safety: none. Not for signal handlers: allocates.
#ifndef MEND_RUNTIME_SAFEPOINT_STACK_COPY_H_
#define MEND_RUNTIME_SAFEPOINT_STACK_COPY_H_

#include <cstdint>
#include <memory>

#include "runtime/safepoint/thread_record.h"

namespace mend {

class StackCopy {
 public:
  enum class Outcome : uint8_t {
    kTaken,
    kStackGone,   // unmapped, or used for something else
    kCannotRead,  // by the system's will, or not where the record says that it is
  };

  // REQUIRES: the caller has claimed the record, which is suspended at an anchor.
  Outcome Take(const ThreadRecord& record);
  // Where the copy of a byte is, less where the byte is. REQUIRES: kTaken.
  uintptr_t displacement() const { return displacement_; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
  uintptr_t displacement_ = 0;
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_STACK_COPY_H_
