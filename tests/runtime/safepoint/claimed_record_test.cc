// A thread that goes on while the coordinator has its record claimed: it waits for the end of the
// claim, and then counts as running if it runs hosted code.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/hosted_call.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend {
namespace {

// Claims the calling thread's record, as the coordinator does, and gives it back a little later.
class ClaimForAWhile {
 public:
  explicit ClaimForAWhile(Activity activity)
      : record_(ThreadRegistry::CurrentRecord()), claimed_(record_->activity.TryClaim(activity)) {
    EXPECT_TRUE(claimed_);
    claimer_ = std::thread([this, activity] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      record_->activity.ReleaseClaim(activity);
    });
  }
  ~ClaimForAWhile() { claimer_.join(); }

 private:
  ThreadRecord* const record_;
  const bool claimed_;
  std::thread claimer_;
};

Activity OwnActivity() { return ThreadRegistry::CurrentRecord()->activity.Get(); }

// Runs `body` in a thread of its own; fails when it does not end.
void RunWithin(std::chrono::seconds patience, std::function<void()> body) {
  const auto done = std::make_shared<std::atomic<bool>>(false);
  std::thread([done, body = std::move(body)] {
    body();
    done->store(true);
  }).detach();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!done->load() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_TRUE(done->load()) << "the thread waits for ever";
}

// A host's thread, outside of hosted code.
void GoOutside() {
  ThreadRegistry::Get().Enter();
  ThreadRegistry::Get().Leave();
}

TEST(ClaimedRecordTest, AHandlerOutsideOfHostedCode) {
  RunWithin(std::chrono::seconds(10), [] {
    GoOutside();
    const ClaimForAWhile claim(Activity::kOutside);
    {
      const SignalScope handler;
      EXPECT_EQ(Activity::kOutside, OwnActivity());
    }
    EXPECT_EQ(Activity::kOutside, OwnActivity());
  });
}

TEST(ClaimedRecordTest, HostedCodeOnABlockedThread) {
  RunWithin(std::chrono::seconds(10), [] {
    ThreadRegistry::Get().RegisterMainThread();
    {
      const BlockedRegion region("test");
      const ClaimForAWhile claim(Activity::kBlocked);
      {
        const HostedCall call(nullptr);
        EXPECT_EQ(Activity::kRunning, OwnActivity());
      }
      EXPECT_EQ(Activity::kBlocked, OwnActivity());
    }
    ThreadRegistry::Get().EndThread();
  });
}

TEST(ClaimedRecordTest, HostedCodeOnAThreadThatIsOutside) {
  RunWithin(std::chrono::seconds(10), [] {
    GoOutside();
    const ClaimForAWhile claim(Activity::kOutside);
    {
      const HostedCall call(nullptr);
      EXPECT_EQ(Activity::kRunning, OwnActivity());
    }
    EXPECT_EQ(Activity::kOutside, OwnActivity());
  });
}

}  // namespace
}  // namespace mend
