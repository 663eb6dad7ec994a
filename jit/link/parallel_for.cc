#include "jit/link/parallel_for.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "jit/link/scratch_memory.h"
#include "runtime/safepoint/runtime_thread.h"

namespace mend::jit {
namespace {

// JITLink's passes go deep into LLVM.
constexpr size_t kStackBytes = size_t{8} << 20;

struct Work {
  size_t count;
  absl::FunctionRef<void(size_t)> body;
  std::atomic<size_t> next{0};
  std::atomic<size_t> threads{1};
};

void Run(Work& work) {
  const ScratchScope scratch;
  // Relaxed: starting and joining the threads orders everything else.
  for (size_t i = work.next.fetch_add(1, std::memory_order_relaxed); i < work.count;
       i = work.next.fetch_add(1, std::memory_order_relaxed)) {
    work.body(i);
  }
}

void* RunThread(void* argument) {
  Work& work = *static_cast<Work*>(argument);
  UseScratchOfThread(work.threads.fetch_add(1, std::memory_order_relaxed));
  Run(work);
  return nullptr;
}

}  // namespace

size_t UsableProcessors() {
  cpu_set_t processors;
  // It fails where there are more than a thousand.
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return kScratchThreads;
  return std::clamp<size_t>(static_cast<size_t>(CPU_COUNT(&processors)), 1, kScratchThreads);
}

void ParallelFor(size_t threads, size_t count, absl::FunctionRef<void(size_t)> body) {
  Work work{.count = count, .body = body};
  std::vector<pthread_t> others;
  for (size_t i = 1; i < std::min(threads, count); ++i) {
    pthread_t other;
    if (!StartRuntimeThread("mend-load", RunThread, &work, &other, kStackBytes).ok()) break;
    others.push_back(other);
  }
  Run(work);
  for (const pthread_t other : others) JoinRuntimeThread(other);
}

}  // namespace mend::jit
