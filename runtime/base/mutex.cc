#include "runtime/base/mutex.h"

#include <algorithm>
#include <climits>
#include <limits>

#include "runtime/base/clock.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/uninterrupted.h"

namespace mend {
namespace {

// A sleep is never longer than this, so that the arithmetic of deadlines cannot overflow.
constexpr int64_t kSleepMaxNs = int64_t{3600} * 1'000'000'000;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

}  // namespace

void Mutex::AcquireSlowPath() {
  // Whoever slept cannot know whether others still do, so it takes the mutex as contended.
  // ORDER[T14]: the end of the last critical section before this one; pairs with Release.
  while (word_.exchange(kContended, std::memory_order_acquire) != kFree) {
    FutexWait(&word_, kContended, kSleepMaxNs);
  }
}

void Mutex::WakeOne() { FutexWake(&word_, 1); }

void Mutex::AnnounceSlowPath() {
  // Under the mutex, which orders it: who awaits reads the number under the mutex too, and sleeps
  // only while it is still the same.
  changes_.fetch_add(1, std::memory_order_relaxed);
  FutexWake(&changes_, INT_MAX);
}

bool Mutex::AwaitChange(int64_t deadline_ns) {
  const int64_t left_ns = deadline_ns == kNever ? kSleepMaxNs : deadline_ns - MonotonicNs();
  if (left_ns <= 0) return false;
  ++awaiting_;
  const uint32_t seen = changes_.load(std::memory_order_relaxed);
  Release();
  {
    const Uninterrupted::Pause pause;
    FutexWait(&changes_, seen, std::min(left_ns, kSleepMaxNs));
  }
  Acquire();
  --awaiting_;
  return true;
}

int64_t Mutex::DeadlineNs(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return kNever;
  const int64_t now_ns = MonotonicNs();
  const int64_t timeout_ns = std::max<int64_t>(absl::ToInt64Nanoseconds(timeout), 0);
  return timeout_ns >= kNever - now_ns ? kNever : now_ns + timeout_ns;
}

void Mutex::ResetAfterFork() { word_.store(kFree, std::memory_order_relaxed); }

}  // namespace mend
