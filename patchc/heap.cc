#include "patchc/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace mend::patchc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr uintptr_t kHugePage = 2 * kMiB;
// Addresses; more than most units need.
constexpr int kReserved = 256 * kMiB;
// More than what is left of the heap that static constructors have begun.
constexpr size_t kForcesGrowth = kMiB;
// The most that glibc takes. Buffers that grow would be mapped, faulted in and unmapped again and
// again.
constexpr int kLargestFromHeap = 32 * kMiB;

}  // namespace

void PrepareHeap() {
  mallopt(M_MMAP_THRESHOLD, kLargestFromHeap);
  // More than what is reserved, or malloc would give most of it back at once.
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, kReserved);
  const auto begin = reinterpret_cast<uintptr_t>(sbrk(0));
  // Volatile: an allocation that nobody uses may be left out.
  void* volatile forced = std::malloc(kForcesGrowth);
  std::free(forced);
  mallopt(M_TOP_PAD, 4 * kMiB);
  const auto end = reinterpret_cast<uintptr_t>(sbrk(0));
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  // A kernel without huge pages refuses it, and gives pages one by one.
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
}

}  // namespace mend::patchc
