#include "runtime/safepoint/stack_copy.h"

#include <errno.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/stack_walker.h"

namespace mend {

StackCopy::Outcome StackCopy::Take(const ThreadRecord& record) {
  const uintptr_t top = record.anchor.rsp;
  if (top < record.stack.low || top >= record.stack.high) return Outcome::kCannotRead;
  const uintptr_t begin = top - std::min(kRedZone, top - record.stack.low);
  const size_t size = record.stack.high - begin;
  uintptr_t mark;
  // A host may have put it somewhere else.
  if (record.suspension_mark < begin || record.suspension_mark > record.stack.high - sizeof mark) {
    return Outcome::kCannotRead;
  }
  if (size > capacity_) {
    // Not set to zero.
    bytes_.reset(new char[size]);
    capacity_ = size;
  }
  const iovec to = {.iov_base = bytes_.get(), .iov_len = size};
  const iovec from = {.iov_base = reinterpret_cast<void*>(begin), .iov_len = size};
  const long read = RawSyscall(SYS_process_vm_readv, RawSyscall(SYS_getpid),
                               reinterpret_cast<long>(&to), 1, reinterpret_cast<long>(&from), 1);
  if (read < 0 && read != -EFAULT) return Outcome::kCannotRead;
  if (read < 0 || static_cast<size_t>(read) != size) return Outcome::kStackGone;
  displacement_ = reinterpret_cast<uintptr_t>(bytes_.get()) - begin;
  std::memcpy(&mark, reinterpret_cast<const void*>(record.suspension_mark + displacement_),
              sizeof mark);
  return mark == reinterpret_cast<uintptr_t>(&record) ? Outcome::kTaken : Outcome::kStackGone;
}

}  // namespace mend
