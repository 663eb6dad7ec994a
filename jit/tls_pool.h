// TlsPool: where the thread-locals of hosted code lie: in a block of this library's own static TLS,
// at offsets from %fs that are the same in every thread and fixed before the program is linked.
//
// The loader assigns offsets; after linking it builds the master image; each thread copies that
// before it runs hosted code (InitializeThread).
//
// Thread safety: Assign and SetImage are called by the loader, before other threads run hosted
// code; InitializeThread by any thread, on itself.
#ifndef MEND_JIT_TLS_POOL_H_
#define MEND_JIT_TLS_POOL_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::jit {

class TlsPool {
 public:
  // All hosted thread-locals together. Every thread's stack is larger by this much, and a
  // dynamically opened library could not have so much static TLS.
  static constexpr size_t kSize = 64 * 1024;

  // The offset from %fs of a new thread-local (negative). RESOURCE_EXHAUSTED when the pool is full.
  absl::StatusOr<intptr_t> Assign(size_t size, size_t alignment);
  // Copies the initial value of the thread-local at `offset` into the master image.
  void SetImage(intptr_t offset, const void* bytes, size_t size);
  // Gives the calling thread its initial values.
  void InitializeThread() const;

  size_t used() const { return used_; }
  void Rollback(size_t used) { used_ = used; }

 private:
  size_t used_ = 0;
  std::vector<char> image_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_TLS_POOL_H_
