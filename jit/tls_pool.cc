#include "jit/tls_pool.h"

#include <string.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"

namespace mend::jit {
namespace {

constexpr size_t kPoolAlignment = 64;

// Initial-exec: at the same distance from %fs in every thread, which is what generated code needs.
alignas(kPoolAlignment) constinit thread_local char tls_pool[TlsPool::kSize]
    __attribute__((tls_model("initial-exec"))) = {};

intptr_t PoolOffset() {
  return reinterpret_cast<intptr_t>(&tls_pool[0]) -
         reinterpret_cast<intptr_t>(__builtin_thread_pointer());
}

}  // namespace

absl::StatusOr<intptr_t> TlsPool::Assign(size_t size, size_t alignment) {
  alignment = std::max<size_t>(alignment, 1);
  if (alignment > kPoolAlignment) {
    return absl::ResourceExhaustedError(
        absl::StrCat("its alignment of ", alignment, " exceeds ", kPoolAlignment));
  }
  const size_t offset = (used_ + alignment - 1) / alignment * alignment;
  if (size > kSize || offset > kSize - size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("hosted thread-locals exceed ", kSize, " bytes"));
  }
  used_ = offset + size;
  return PoolOffset() + static_cast<intptr_t>(offset);
}

void TlsPool::SetImage(intptr_t offset, const void* bytes, size_t size) {
  const size_t begin = static_cast<size_t>(offset - PoolOffset());
  MEND_CHECK(begin + size <= used_, "a thread-local's image lies within what was assigned");
  if (image_.size() < used_) image_.resize(used_);
  memcpy(image_.data() + begin, bytes, size);
}

void TlsPool::InitializeThread() const {
  if (!image_.empty()) memcpy(tls_pool, image_.data(), image_.size());
}

}  // namespace mend::jit
