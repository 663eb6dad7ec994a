#include "runtime/base/uninterrupted.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "runtime/base/mutex.h"

namespace mend {
namespace {

std::atomic<int> handled{0};

class UninterruptedTest : public testing::Test {
 protected:
  void SetUp() override {
    handled = 0;
    signal(SIGUSR1, [](int) { handled += 1; });
    signal(SIGUSR2, [](int) {
      // What a handler may do that calls into the runtime.
      const Uninterrupted scope;
      handled += 10;
    });
  }
  void TearDown() override {
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
  }
};

TEST_F(UninterruptedTest, HoldsSignalsBackUntilTheOutermostEnd) {
  {
    const Uninterrupted outer;
    {
      const Uninterrupted inner;
      raise(SIGUSR1);
    }
    EXPECT_EQ(handled, 0);
  }
  EXPECT_EQ(handled, 1);
  raise(SIGUSR1);
  EXPECT_EQ(handled, 2);
}

TEST_F(UninterruptedTest, LeavesTheMaskAsItWas) {
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &own, nullptr);
  {
    const Uninterrupted scope;
    EXPECT_EQ(Uninterrupted::MaskBefore(), uint64_t{1} << (SIGUSR1 - 1));
  }
  raise(SIGUSR1);
  EXPECT_EQ(handled, 0);
  pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  EXPECT_EQ(handled, 1);
}

TEST_F(UninterruptedTest, AHandlerMayUseItDuringAPause) {
  {
    const Uninterrupted scope;
    {
      const Uninterrupted::Pause pause;
      raise(SIGUSR2);
      EXPECT_EQ(handled, 10);
      raise(SIGUSR2);
    }
    EXPECT_EQ(handled, 20);
    raise(SIGUSR2);
    EXPECT_EQ(handled, 20);
  }
  EXPECT_EQ(handled, 30);
}

TEST_F(UninterruptedTest, AMaskThatIsSetDuringAPauseStays) {
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR1);
  {
    const Uninterrupted scope;
    const Uninterrupted::Pause pause;
    pthread_sigmask(SIG_BLOCK, &own, nullptr);
  }
  raise(SIGUSR1);
  EXPECT_EQ(handled, 0);
  pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  EXPECT_EQ(handled, 1);
}

TEST_F(UninterruptedTest, AThreadThatWaitsForAConditionIsInterrupted) {
#if __has_feature(thread_sanitizer)
  GTEST_SKIP()
      << "ThreadSanitizer runs handlers at the next call that it knows, and a raw futex is none";
#endif
  Mutex mutex;
  std::thread announcer([&mutex] {
    while (handled == 0) std::this_thread::yield();
    const MutexLock lock(&mutex);
  });
  {
    const Uninterrupted scope;
    raise(SIGUSR1);
    const MutexLock lock(&mutex);
    EXPECT_EQ(handled, 0);
    mutex.Await([] { return handled > 0; });
  }
  announcer.join();
  EXPECT_EQ(handled, 1);
}

// A point of cancellation inside is none.
TEST_F(UninterruptedTest, HoldsCancellationBack) {
  bool passed = false;
  pthread_t thread;
  const auto body = [](void* flag) -> void* {
    {
      const Uninterrupted scope;
      pthread_cancel(pthread_self());
      usleep(1);
      *static_cast<bool*>(flag) = true;
    }
    usleep(1);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, nullptr, body, &passed), 0);
  void* result = nullptr;
  pthread_join(thread, &result);
  EXPECT_TRUE(passed);
  EXPECT_EQ(result, PTHREAD_CANCELED);
}

}  // namespace
}  // namespace mend
