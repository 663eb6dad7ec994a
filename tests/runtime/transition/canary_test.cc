// Canaries: of several threads only the chosen ones run the patch, until it is promoted or turned
// round.
#include <gmock/gmock.h>
#include <pthread.h>
#include <sched.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/safepoint/thread_registry.h"
#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

MEND_NATIVE(tried) { return Opaque(argument + 1); }
MEND_NATIVE(tried_2) { return Opaque(argument + 2); }
MEND_NATIVE(other) { return Opaque(argument + 10); }
MEND_NATIVE(other_2) { return Opaque(argument + 20); }

NativeFunction Tried() { return MEND_NATIVE_FUNCTION(tried); }
NativeFunction Tried2() { return MEND_NATIVE_FUNCTION(tried_2); }
NativeFunction Other() { return MEND_NATIVE_FUNCTION(other); }
NativeFunction Other2() { return MEND_NATIVE_FUNCTION(other_2); }

// A thread of the program, asleep in a blocked region until it is asked for something.
class Worker {
 public:
  explicit Worker(const char* name) : thread_([this, name] { Run(name); }) {
    Ask([] {});
  }
  ~Worker() {
    stop_ = true;
    Ask([] {});
    thread_.Join();
  }

  // Runs it there, and returns when it has.
  void Ask(std::function<void()> what) {
    what_ = std::move(what);
    const int round = rounds_.load();
    gates_[round].Open();
    while (rounds_.load() == round) sched_yield();
  }
  int Call() {
    int result = 0;
    Ask([&result] { result = tried(0); });
    return result;
  }

 private:
  static constexpr int kRoundsMax = 64;
  void Run(const char* name) {
    pthread_setname_np(pthread_self(), name);
    while (!stop_) {
      gates_[rounds_.load()].Await(/*in_blocked_region=*/true);
      what_();
      rounds_.fetch_add(1);
    }
  }

  std::array<Gate, kRoundsMax> gates_;
  std::function<void()> what_;
  std::atomic<int> rounds_{0};
  std::atomic<bool> stop_{false};
  ProgramThread thread_;
};

class CanaryTest : public CoreTest {
 protected:
  void SetUp() override {
    CoreTest::SetUp();
    for (const char* const name : {"worker-a", "worker-b", "helper"}) {
      workers_.push_back(std::make_unique<Worker>(name));
    }
  }
  void TearDown() override {
    workers_.clear();
    if (registry().Status().canary) EXPECT_EQ(registry().Disable("fix"), absl::OkStatus());
    CoreTest::TearDown();
  }
  absl::Status Start(const CanarySpec& canary) {
    const absl::StatusOr<std::string> name =
        registry().Enable(MakePatch("fix", true, {{Tried(), Tried2()}}), canary);
    return name.ok() ? registry().Wait(kSoon, /*or_held=*/true) : name.status();
  }
  // What each worker's call returns, and then this thread's.
  std::vector<int> Calls() {
    std::vector<int> results;
    for (const auto& worker : workers_) results.push_back(worker->Call());
    results.push_back(tried(0));
    return results;
  }

  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(CanaryTest, OnlyTheNamedThreadsSwitchUntilItIsPromoted) {
  ASSERT_EQ(Start({.names = "worker-*"}), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(2, 2, 1, 1));
  const CoreStatus status = registry().Status();
  EXPECT_TRUE(status.canary);
  EXPECT_TRUE(status.canary_held);
  EXPECT_EQ(status.transition, "fix");
  EXPECT_EQ(status.threads_left, 0u);
  for (const ThreadStatus& thread : registry().Threads()) {
    const bool chosen = thread.name.rfind("worker-", 0) == 0;
    EXPECT_EQ(thread.asked, chosen) << thread.name;
    EXPECT_EQ(thread.patch_state, chosen ? 1 : 0) << thread.name;
  }
  EXPECT_EQ(registry().Wait(absl::Milliseconds(50)).code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(registry().Promote("fix"), absl::OkStatus());
  ASSERT_EQ(registry().Wait(kSoon), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(2, 2, 2, 2));
  EXPECT_FALSE(registry().Status().canary);
  EXPECT_EQ(registry().Promote("fix").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Kinds("fix"), AllOf(Contains("canary_started"), Contains("canary_held"),
                                  Contains("canary_promoted")));
}

TEST_F(CanaryTest, DisablingTakesItBack) {
  ASSERT_EQ(Start({.names = "worker-a"}), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(2, 1, 1, 1));
  ASSERT_EQ(registry().Disable("fix"), absl::OkStatus());
  ASSERT_EQ(registry().Wait(kSoon), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(1, 1, 1, 1));
  EXPECT_FALSE(EntryOpen(Tried()));
  // Nothing of it is left: the next one is for all.
  ASSERT_EQ(registry().EnableAgain("fix"), absl::OkStatus());
  ASSERT_EQ(registry().Wait(kSoon), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(2, 2, 2, 2));
}

TEST_F(CanaryTest, ANumberAndAShareTakeTheYoungest) {
  ASSERT_EQ(Start({.threads = 1}), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(1, 1, 2, 1));
  ASSERT_EQ(registry().Disable("fix"), absl::OkStatus());
  ASSERT_EQ(registry().Wait(kSoon), absl::OkStatus());
  ASSERT_EQ(registry().Remove("fix"), absl::OkStatus());
  // Of four threads, rounded up.
  ASSERT_EQ(Start({.percent = 26}), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(1, 2, 2, 1));
}

TEST_F(CanaryTest, NobodyIsChosen) {
  Lines();
  const absl::Status started = Start({.names = "nobody"});
  EXPECT_EQ(started.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(started.message()), HasSubstr("ENOENT"));
  EXPECT_THAT(Lines(), Not(Contains("enabling patch 'fix'")));
  EXPECT_TRUE(registry().Status().patches.empty());
  EXPECT_THAT(Calls(), ElementsAre(1, 1, 1, 1));
}

TEST_F(CanaryTest, NothingElseStartsMeanwhile) {
  ASSERT_EQ(Start({.names = "helper"}), absl::OkStatus());
  const absl::StatusOr<std::string> second =
      registry().Enable(MakePatch("second", false, {{Other(), Other2()}}));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("promote or disable"));
  EXPECT_THAT(Calls(), ElementsAre(1, 1, 2, 1));
}

TEST_F(CanaryTest, ForceIsForEverybody) {
  ASSERT_EQ(Start({.names = "helper"}), absl::OkStatus());
  ASSERT_EQ(registry().Force("fix"), absl::OkStatus());
  ASSERT_EQ(registry().Wait(kSoon), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(2, 2, 2, 2));
}

TEST_F(CanaryTest, NewThreadsTakeTheirCreatorsState) {
  ASSERT_EQ(Start({.names = "helper"}), absl::OkStatus());
  const auto child_of = [this](size_t worker) {
    int result = 0;
    workers_[worker]->Ask([&result] { ProgramThread([&result] { result = tried(0); }).Join(); });
    return result;
  };
  EXPECT_EQ(child_of(0), 1);
  EXPECT_EQ(child_of(2), 2);
  int stranger = 0;
  // Of a host: it has nobody to inherit from.
  std::thread([&stranger] {
    ThreadRegistry::Get().Enter();
    stranger = tried(0);
    ThreadRegistry::Get().Leave();
  }).join();
  EXPECT_EQ(stranger, 1);
}

Gate* gate = nullptr;
MEND_NATIVE(sleeper) {
  gate->Await(/*in_blocked_region=*/true);
  return Opaque(argument + 1);
}
MEND_NATIVE(sleeper_2) { return Opaque(argument + 2); }

TEST_F(CanaryTest, AChosenThreadInOldCodeHoldsItUp) {
  Gate own_gate;
  gate = &own_gate;
  ProgramThread thread([] {
    pthread_setname_np(pthread_self(), "sleeper");
    sleeper(0);
  });
  own_gate.AwaitWaiter();
  const auto name = registry().Enable(
      MakePatch(
          "fix", true,
          {{MEND_NATIVE_FUNCTION(sleeper), MEND_NATIVE_FUNCTION(sleeper_2)}, {Tried(), Tried2()}}),
      {.names = "sleeper"});
  ASSERT_TRUE(name.ok()) << name.status();
  const absl::Status waited = registry().Wait(absl::Milliseconds(60), /*or_held=*/true);
  EXPECT_EQ(waited.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(waited.message()), HasSubstr("in sleeper"));
  EXPECT_FALSE(registry().Status().canary_held);
  EXPECT_EQ(registry().Status().threads_left, 1u);
  EXPECT_THAT(Calls(), ElementsAre(1, 1, 1, 1));
  own_gate.Open();
  thread.Join();
  // Whom it was for has ended; nobody else was asked.
  ASSERT_EQ(registry().Wait(kSoon, /*or_held=*/true), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(1, 1, 1, 1));
  ASSERT_EQ(registry().Promote("fix"), absl::OkStatus());
  ASSERT_EQ(registry().Wait(kSoon), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre(2, 2, 2, 2));
}

}  // namespace
}  // namespace mend::testing
