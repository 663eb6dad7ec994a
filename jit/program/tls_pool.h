// TlsPool: where the thread-locals of hosted code lie: in a block of static TLS, at offsets from
// %fs that are the same in every thread and fixed before their code is linked.
//
// The block is the executable's (static_pool.h). Where the executable has none, as when a library
// that embeds the runtime is opened by dlopen, it is a small one of this library's own: all of
// static TLS that a library gets then is what glibc keeps for such, less than 2 KB in all.
//
// The loader assigns offsets; after linking it sets the initial images; each thread copies them
// before it runs hosted code (InitializeThread), and threads that did so already get what is added
// later from Publish: nobody uses those bytes before. Threads that libc makes by itself, past
// pthread_create (SIGEV_THREAD), have them from the executable's template of the block.
//
// Thread safety: all methods are thread-safe.
#ifndef MEND_JIT_PROGRAM_TLS_POOL_H_
#define MEND_JIT_PROGRAM_TLS_POOL_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"

namespace mend::jit {

class TlsPool {
 public:
  TlsPool() = default;
  ~TlsPool();
  TlsPool(const TlsPool&) = delete;
  TlsPool& operator=(const TlsPool&) = delete;

  // The offset from %fs of a new thread-local (negative). RESOURCE_EXHAUSTED when the pool is full.
  absl::StatusOr<intptr_t> Assign(size_t size, size_t alignment) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives it back. REQUIRES: no thread uses it any more.
  void Release(intptr_t offset, size_t size) ABSL_LOCKS_EXCLUDED(mu_);
  // The initial value of the thread-local at `offset`.
  void SetImage(intptr_t offset, const void* bytes, size_t size) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives the thread-local its initial value in every thread that was initialized before.
  void Publish(intptr_t offset, size_t size) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives the calling thread its initial values, the first time.
  void InitializeThread() ABSL_LOCKS_EXCLUDED(mu_);

  // The calling thread ends without its destructors (SYS_exit); nothing of hosted code runs in it
  // any more.
  void ForgetThread() ABSL_LOCKS_EXCLUDED(mu_);

  size_t used() const ABSL_LOCKS_EXCLUDED(mu_);

  // Around fork. In the child only the forking thread is left.
  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_);
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_);

  // One per thread, in static TLS.
  struct Thread {
    TlsPool* pool = nullptr;  // null: not initialized, or gone
    char* bytes = nullptr;
    Thread* next = nullptr;
    Thread* previous = nullptr;
    ~Thread();
  };

 private:
  void Unlist(Thread* thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UpdateTemplate(size_t offset, size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  size_t used_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<size_t, size_t> free_ ABSL_GUARDED_BY(mu_);  // begin -> size, below used_
  std::vector<char> image_ ABSL_GUARDED_BY(mu_);
  Thread* threads_ ABSL_GUARDED_BY(mu_) = nullptr;
  pid_t forking_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_TLS_POOL_H_
