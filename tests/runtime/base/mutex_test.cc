// Mutex: exclusion, conditions, time-outs, and the state that fork leaves behind.
#include "runtime/base/mutex.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace mend {
namespace {

struct Guarded {
  Mutex mu;
  int value ABSL_GUARDED_BY(mu) = 0;
};

TEST(MutexTest, CriticalSectionsDoNotOverlap) {
  constexpr int kThreads = 4;
  constexpr int kTurns = 20'000;
  Guarded guarded;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&guarded] {
      for (int turn = 0; turn < kTurns; ++turn) {
        const MutexLock lock(&guarded.mu);
        ++guarded.value;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const MutexLock lock(&guarded.mu);
  EXPECT_EQ(guarded.value, kThreads * kTurns);
}

// Two threads hand a number to and fro: each waits for the other's change, many times, so that a
// lost wake-up shows as a test that hangs.
TEST(MutexTest, AwaitSeesEveryChange) {
  constexpr int kTurns = 5'000;
  Guarded guarded;
  const auto play = [&guarded](int parity) {
    for (int turn = 0; turn < kTurns; ++turn) {
      const MutexLock lock(&guarded.mu);
      const auto mine = [&guarded, parity]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(guarded.mu) {
        return guarded.value % 2 == parity;
      };
      guarded.mu.Await(mine);
      ++guarded.value;
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  const MutexLock lock(&guarded.mu);
  EXPECT_EQ(guarded.value, 2 * kTurns);
}

// Whoever awaits may itself have changed what others await.
TEST(MutexTest, ChangeBeforeAnAwaitIsSeenByThoseWhoWaitAlready) {
  Guarded guarded;
  std::thread other([&guarded] {
    const MutexLock lock(&guarded.mu);
    guarded.value = 1;
    const auto answered = [&guarded]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(guarded.mu) {
      return guarded.value == 3;
    };
    guarded.mu.Await(answered);
  });
  {
    const MutexLock lock(&guarded.mu);
    const auto asked = [&guarded]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(guarded.mu) { return guarded.value == 1; };
    guarded.mu.Await(asked);
    guarded.value = 3;
  }
  other.join();
}

TEST(MutexTest, AwaitTimesOutWithTheMutexHeld) {
  Guarded guarded;
  const MutexLock lock(&guarded.mu);
  const auto never = [&guarded]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(guarded.mu) { return guarded.value < 0; };
  const absl::Time begin = absl::Now();
  EXPECT_FALSE(guarded.mu.AwaitWithTimeout(never, absl::Milliseconds(20)));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(19));
  EXPECT_FALSE(guarded.mu.AwaitWithTimeout(never, absl::ZeroDuration()));
  EXPECT_FALSE(guarded.mu.AwaitWithTimeout(never, -absl::Seconds(1)));
  guarded.value = 1;
  const auto holds = [&guarded]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(guarded.mu) { return guarded.value == 1; };
  EXPECT_TRUE(guarded.mu.AwaitWithTimeout(holds, absl::ZeroDuration()));
}

int CountInChild(Guarded& guarded) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  guarded.mu.ResetAfterFork();
  for (int i = 0; i < 3; ++i) {
    const MutexLock lock(&guarded.mu);
    ++guarded.value;
  }
  return guarded.value;
}

// The child has neither the thread that waits for a condition nor those that queue for the mutex.
TEST(MutexTest, ForkedChildUsesItAfterAReset) {
  Guarded guarded;
  std::atomic<bool> waits{false};
  std::thread waiter([&] {
    const MutexLock lock(&guarded.mu);
    waits = true;
    const auto told = [&guarded]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(guarded.mu) { return guarded.value == 1; };
    guarded.mu.Await(told);
  });
  while (!waits) std::this_thread::yield();
  guarded.mu.Lock();
  const pid_t child = fork();
  if (child == 0) _exit(CountInChild(guarded) == 3 ? 0 : 1);
  guarded.value = 1;
  guarded.mu.Unlock();
  waiter.join();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace mend
