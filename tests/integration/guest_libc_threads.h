// What the guest_libc tests share: threads of a "hosted program" whose state can be looked at.
#ifndef MEND_TESTS_INTEGRATION_GUEST_LIBC_THREADS_H_
#define MEND_TESTS_INTEGRATION_GUEST_LIBC_THREADS_H_

#include <pthread.h>
#include <string.h>
#include <time.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "jit/guest_libc/guest_libc.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::jit {

inline int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

inline Activity OwnActivity() { return ThreadRegistry::CurrentRecord()->activity.Get(); }

// Waits for a condition that another thread makes true; false after ten seconds.
inline bool Await(const std::function<bool()>& condition) {
  for (const int64_t end = NowNs() + 10'000'000'000; NowNs() < end; std::this_thread::yield()) {
    if (condition()) return true;
  }
  return false;
}

// A thread that is about to make the call counts as blocked already: a signal would come too early.
inline bool KernelHasItAsleep(const ThreadRecord& record) {
  std::ifstream stat("/proc/self/task/" +
                     std::to_string(record.tid.load(std::memory_order_relaxed)) + "/stat");
  std::string line;
  return std::getline(stat, line) && line.find(") S ") != std::string::npos;
}

// The tests' main thread is the main thread of a program.
class RegisteredMain : public testing::Environment {
 public:
  void SetUp() override { RegisterProgramMainThread(); }
};

// A thread of the program that runs one function.
class ProgramThread {
 public:
  explicit ProgramThread(std::function<void()> body)
      : thread_([this, run = std::move(body)] {
          handle_.store(pthread_self(), std::memory_order_relaxed);
          record_.store(ThreadRegistry::CurrentRecord(), std::memory_order_release);
          run();
          done_.store(true, std::memory_order_release);
        }) {
    while (record_.load(std::memory_order_acquire) == nullptr) std::this_thread::yield();
  }
  ~ProgramThread() { Join(); }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  // Whether it comes to sleep in the call of that name.
  bool ComesToSleepIn(const char* function) const {
    return Await([&] { return IsAsleepIn(function); });
  }
  bool IsAsleepIn(const char* function) const {
    const ThreadRecord& record = *record_.load(std::memory_order_relaxed);
    if (record.activity.Get() != Activity::kBlocked) return false;
    const char* const in = record.blocked_in.load(std::memory_order_relaxed);
    return in != nullptr && strcmp(in, function) == 0 && KernelHasItAsleep(record);
  }
  const char* WhereAsleep() const {
    const char* const in = record_.load()->blocked_in.load(std::memory_order_relaxed);
    return in != nullptr ? in : "(nowhere)";
  }

  bool done() const { return done_.load(std::memory_order_acquire); }
  // Looks at its stack as the coordinator does: whether every frame is known.
  WalkEnd WalkWhileAsleep() const {
    ThreadRecord& record = *record_.load(std::memory_order_relaxed);
    if (!record.activity.TryClaim(Activity::kBlocked)) return WalkEnd::kStopped;
    WalkOptions options;
    options.stack = record.stack;
    options.alternate_stack = record.alternate_stack;
    const WalkResult result = WalkStack(
        record.anchor, options,
        [](const WalkFrame&, void*) noexcept [[clang::nonblocking]] { return true; }, nullptr);
    record.activity.ReleaseClaim(Activity::kBlocked);
    return result.end;
  }

  pid_t tid() const { return record_.load()->tid.load(std::memory_order_relaxed); }
  pthread_t handle() const { return handle_.load(std::memory_order_relaxed); }

 private:
  std::atomic<ThreadRecord*> record_{nullptr};
  std::atomic<pthread_t> handle_{};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace mend::jit

#endif  // MEND_TESTS_INTEGRATION_GUEST_LIBC_THREADS_H_
