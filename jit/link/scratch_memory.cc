#include "jit/link/scratch_memory.h"

#include <linux/mman.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "absl/base/thread_annotations.h"
#include "llvm/Support/MemAlloc.h"
#include "runtime/base/mutex.h"

namespace mend::jit {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
// Addresses only; a load that needs more takes the rest from malloc.
constexpr size_t kReserved = 2048 * kMiB;
constexpr size_t kLeftToOthers = 256 * kMiB;
// A huge page is zeroed at once: not worth it for small programs, which fit in here. They get their
// pages some at a time, which costs a fraction of a page fault for each.
constexpr size_t kSmallPages = 4 * kMiB;
// As many as there are already, between these: a patch of one function takes some 60 kB.
constexpr size_t kLeastPopulated = kMiB / 32;
constexpr size_t kMostPopulated = kMiB / 4;
constexpr int kLeastClass = 4;  // 16 bytes
constexpr int kClasses = 32;

struct FreeBuffer {
  FreeBuffer* next;
};

class Scratch {
 public:
  constexpr Scratch() = default;

  void* Take(size_t size, size_t alignment) {
    const int of_class = std::max(kLeastClass, static_cast<int>(std::bit_width(size - 1)));
    if (of_class >= kClasses || alignment > 16) return nullptr;
    const MutexLock lock(&mu_);
    if (begin_.load(std::memory_order_relaxed) == 0 && !Reserve()) return nullptr;
    if (FreeBuffer* const buffer = free_[of_class]; buffer != nullptr) {
      free_[of_class] = buffer->next;
      ++live_;
      return buffer;
    }
    const size_t rounded = size_t{1} << of_class;
    const uintptr_t begin = begin_.load(std::memory_order_relaxed);
    if (used_ + rounded > kReserved) return nullptr;
    void* const buffer = reinterpret_cast<void*>(begin + used_);
    used_ += rounded;
    Populate();
    ++live_;
    return buffer;
  }

  // False: it was not taken here.
  bool GiveBack(void* pointer, size_t size) {
    // Relaxed: whoever has a buffer of the reservation got it after it was made.
    const uintptr_t begin = begin_.load(std::memory_order_relaxed);
    if (begin == 0 || reinterpret_cast<uintptr_t>(pointer) - begin >= kReserved) return false;
    const int of_class = std::max(kLeastClass, static_cast<int>(std::bit_width(size - 1)));
    const MutexLock lock(&mu_);
    free_[of_class] = new (pointer) FreeBuffer{free_[of_class]};
    --live_;
    return true;
  }

  bool IsReserved() const { return begin_.load(std::memory_order_relaxed) != 0; }

  void Release() {
    const MutexLock lock(&mu_);
    const uintptr_t begin = begin_.load(std::memory_order_relaxed);
    if (begin == 0 || live_ != 0) return;
    munmap(reinterpret_cast<void*>(begin), kReserved);
    begin_.store(0, std::memory_order_relaxed);
    used_ = populated_ = 0;
    std::fill_n(free_, kClasses, nullptr);
  }

 private:
  bool Reserve() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // Not the last that the process may map (RLIMIT_AS): others need some, too.
    void* const memory = mmap(nullptr, kReserved + kLeftToOthers, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    munmap(static_cast<char*>(memory) + kReserved, kLeftToOthers);
    madvise(static_cast<char*>(memory) + kSmallPages, kReserved - kSmallPages, MADV_HUGEPAGE);
    begin_.store(reinterpret_cast<uintptr_t>(memory), std::memory_order_relaxed);
    return true;
  }

  void Populate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    while (populated_ < std::min(used_, kSmallPages)) {
      const size_t more = std::clamp(populated_, kLeastPopulated, kMostPopulated);
      // Kernels before 5.14 refuse it, and give pages one by one as they are touched.
      madvise(reinterpret_cast<void*>(begin_.load(std::memory_order_relaxed) + populated_), more,
              MADV_POPULATE_WRITE);
      populated_ += more;
    }
  }

  std::atomic<uintptr_t> begin_{0};  // 0: nothing is reserved
  Mutex mu_;
  size_t used_ ABSL_GUARDED_BY(mu_) = 0;
  size_t populated_ ABSL_GUARDED_BY(mu_) = 0;
  size_t live_ ABSL_GUARDED_BY(mu_) = 0;
  FreeBuffer* free_[kClasses] ABSL_GUARDED_BY(mu_) = {};
};

// One for each of the threads that load, so that they need not wait for each other at every buffer.
// Never destroyed: buffers may be given back at any time.
[[clang::no_destroy]] constinit Scratch scratches[kScratchThreads];

thread_local constinit bool tls_uses_scratch __attribute__((tls_model("initial-exec"))) = false;
thread_local constinit Scratch* tls_scratch __attribute__((tls_model("initial-exec"))) = scratches;

}  // namespace

void UseScratchOfThread(size_t number) { tls_scratch = &scratches[number]; }

ScratchScope::ScratchScope() : was_inside_(tls_uses_scratch) { tls_uses_scratch = true; }
ScratchScope::~ScratchScope() { tls_uses_scratch = was_inside_; }

OutsideScratch::OutsideScratch() : was_inside_(tls_uses_scratch) { tls_uses_scratch = false; }
OutsideScratch::~OutsideScratch() { tls_uses_scratch = was_inside_; }

void ReleaseScratchMemory() {
  for (Scratch& scratch : scratches) scratch.Release();
}

bool HoldsScratchMemory() {
  return std::any_of(std::begin(scratches), std::end(scratches),
                     [](const Scratch& scratch) { return scratch.IsReserved(); });
}

}  // namespace mend::jit

namespace llvm {

void* allocate_buffer(size_t size, size_t alignment) {
  if (mend::jit::tls_uses_scratch && size != 0) {
    if (void* const buffer = mend::jit::tls_scratch->Take(size, alignment)) return buffer;
  }
  return ::operator new(size, std::align_val_t(alignment));
}

void deallocate_buffer(void* pointer, size_t size, size_t alignment) {
  if (pointer != nullptr && size != 0) {
    for (mend::jit::Scratch& scratch : mend::jit::scratches) {
      if (scratch.GiveBack(pointer, size)) return;
    }
  }
  ::operator delete(pointer, size, std::align_val_t(alignment));
}

}  // namespace llvm
