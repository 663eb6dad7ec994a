#include "runtime/control/patch_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime/patch/patch_name.h"
#include "tests/runtime/control/fake_core.h"

namespace mend {
namespace {

using ::testing::ElementsAre;

constexpr WaitPolicy kShort = {.timeout = absl::Milliseconds(30)};

class PatchServiceTest : public testing::Test {
 protected:
  ApplyResult Apply(const std::string& module, const ApplyOptions& options = {}) {
    absl::StatusOr<ApplyResult> report = service_.Apply(module, options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : ApplyResult();
  }

  EventLog events_;
  FakeLoader loader_;
  std::unique_ptr<PatchRegistry> registry_ = MakeFakeRegistry(&events_);
  PatchService service_{registry_.get(), &loader_, ""};
};

TEST_F(PatchServiceTest, ApplyReportsWhatItDid) {
  Apply(MakeModule("old", {"f"}));
  const ApplyResult report = Apply(MakeModule("fix", {"f", "g"}));
  EXPECT_EQ(report.outcome, Outcome::kComplete);
  EXPECT_EQ(report.patch, "fix");
  ASSERT_EQ(report.functions.size(), 2u);
  EXPECT_EQ(report.functions[1].name, "g");
  EXPECT_THAT(report.replaced_patches, ElementsAre("old"));
  ASSERT_TRUE(report.transition.has_value());
  EXPECT_EQ(report.transition_ns, 6000);
}

TEST_F(PatchServiceTest, ApplyReportsWhatReplacesNothing) {
  PatchModule module = *ParsePatchModule(MakeModule("fix", {"f", "of_an_earlier_patch"}));
  module.units.front().new_functions = {"helper", "of_an_earlier_patch"};
  const ApplyResult report = Apply(SerializePatchModule(module));
  ASSERT_EQ(report.added.size(), 1u);
  EXPECT_EQ(report.added.front().object, "");
  EXPECT_EQ(report.added.front().name, "helper");
}

TEST_F(PatchServiceTest, SameNameAndContentIsNothingToDo) {
  Apply(MakeModule("fix", {"f"}));
  const ApplyResult again = Apply(MakeModule("fix", {"f"}));
  EXPECT_EQ(again.outcome, Outcome::kNothingToDo);
  EXPECT_EQ(again.patch, "fix");
  EXPECT_EQ(loader_.loads, 1);
}

TEST_F(PatchServiceTest, OtherContentIsANewGeneration) {
  Apply(MakeModule("fix", {"f"}, "one"));
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}, "two")).patch, "fix~2");
  EXPECT_EQ(service_.FindPatch("fix")->name, "fix~2");
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}, "two")).outcome, Outcome::kNothingToDo);
}

TEST_F(PatchServiceTest, DisabledPatchStartsAfreshWhenAppliedAgain) {
  Apply(MakeModule("fix", {"f"}));
  ASSERT_TRUE(service_.Disable("fix", {}).ok());
  const ApplyResult again = Apply(MakeModule("fix", {"f"}));
  EXPECT_EQ(again.outcome, Outcome::kComplete);
  EXPECT_EQ(again.patch, "fix");
  EXPECT_EQ(loader_.loads, 2);
  EXPECT_EQ(registry_->Status().patches.size(), 1u);
}

TEST_F(PatchServiceTest, TimeoutReversesAndNamesTheStraggler) {
  const StuckThreads stuck;
  const ApplyResult report = Apply(MakeModule("fix", {"f"}), {.wait = kShort});
  EXPECT_EQ(report.outcome, Outcome::kReversed);
  ASSERT_EQ(report.stragglers.size(), 1u);
  EXPECT_EQ(report.stragglers[0].name, "worker");
  EXPECT_EQ(report.stragglers[0].straggler_function, "old_f");
  EXPECT_FALSE(registry_->Status().patches[0].enabled);
  EXPECT_TRUE(registry_->Status().transition.empty());
}

TEST_F(PatchServiceTest, TimeoutMayWaitOrForce) {
  const StuckThreads stuck;
  WaitPolicy wait = kShort;
  wait.on_timeout = TimeoutPolicy::kWait;
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}), {.wait = wait}).outcome, Outcome::kMigrating);
  EXPECT_EQ(registry_->Status().transition, "fix");
  // Applying the same again joins the transition that runs.
  wait.on_timeout = TimeoutPolicy::kForce;
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}), {.wait = wait}).outcome, Outcome::kComplete);
  EXPECT_TRUE(registry_->Status().patches[0].enabled);
}

// Somebody else takes the patch back in its transition: the deadline of who applied it comes, and
// neither turns it round once more nor forces the way back.
TEST_F(PatchServiceTest, TimeoutDoesNotOverruleWhoeverTurnedItRound) {
  for (const TimeoutPolicy policy : {TimeoutPolicy::kReverse, TimeoutPolicy::kForce}) {
    auto stuck = std::make_unique<StuckThreads>(/*both_ways=*/true);
    const int calls = TurningCalls();
    ApplyResult report;
    std::thread applier([&] {
      report = Apply(MakeModule("fix", {"f"}),
                     {.wait = {.timeout = absl::Seconds(1), .on_timeout = policy}});
    });
    while (registry_->Status().transition.empty() && TurningCalls() == calls) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(service_.Disable("fix", {.no_wait = true})->outcome, Outcome::kMigrating);
    while (TurningCalls() == calls) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_FALSE(registry_->Status().transition_patching);
    EXPECT_EQ(registry_->Status().transition, "fix");
    stuck.reset();
    applier.join();
    EXPECT_EQ(report.outcome, Outcome::kReversed);
    EXPECT_FALSE(registry_->Status().patches[0].enabled);
  }
}

TEST_F(PatchServiceTest, EachGenerationHasANameOfItsOwn) {
  Apply(MakeModule("fix", {"f"}, "one", /*replace=*/false));
  Apply(MakeModule("fix", {"f"}, "two", /*replace=*/false));
  ASSERT_EQ(service_.Disable("fix~1", {})->patch, "fix");
  EXPECT_TRUE(service_.FindPatch("fix")->enabled) << "the newest";
  EXPECT_FALSE(service_.FindPatch("fix~1")->enabled);
  ASSERT_EQ(service_.Remove("fix~1")->patch, "fix");
  EXPECT_EQ(service_.Remove("fix~1")->outcome, Outcome::kNothingToDo);
  EXPECT_EQ(service_.Disable("fix", {})->patch, "fix~2");
}

TEST_F(PatchServiceTest, ACanaryIsHeldUntilItIsPromotedOrDisabled) {
  const ApplyOptions canary = {.parameters = {}, .canary = {.threads = 2}};
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}), canary).outcome, Outcome::kCanary);
  EXPECT_EQ(registry_->Status().transition, "fix");
  // Asked for again, it is so already.
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}), canary).outcome, Outcome::kCanary);
  EXPECT_EQ(service_.WaitIdle(absl::Milliseconds(10))->outcome, Outcome::kMigrating);
  EXPECT_EQ(service_.Promote("fix", {})->outcome, Outcome::kComplete);
  EXPECT_EQ(service_.Promote("fix", {})->outcome, Outcome::kNothingToDo);
  ASSERT_EQ(service_.Disable("fix", {})->outcome, Outcome::kComplete);
  EXPECT_FALSE(service_.Promote("fix", {}).ok());
  EXPECT_FALSE(service_.Promote("none", {}).ok());
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}), canary).outcome, Outcome::kCanary);
  EXPECT_EQ(service_.Disable("fix", {})->outcome, Outcome::kComplete);
  // For all.
  EXPECT_EQ(Apply(MakeModule("fix", {"f"}), canary).outcome, Outcome::kCanary);
  EXPECT_EQ(Apply(MakeModule("fix", {"f"})).outcome, Outcome::kComplete);
}

TEST_F(PatchServiceTest, ACanaryIsNeitherPersistedNorForced) {
  PatchService persistent(registry_.get(), &loader_, "/nowhere");
  ApplyOptions options = {.persist = true, .parameters = {}, .canary = {.percent = 10}};
  EXPECT_FALSE(persistent.Apply(MakeModule("fix", {"f"}), options).ok());
  options.persist = false;
  options.wait.on_timeout = TimeoutPolicy::kForce;
  EXPECT_FALSE(persistent.Apply(MakeModule("fix", {"f"}), options).ok());
  EXPECT_TRUE(registry_->Status().patches.empty());
}

TEST_F(PatchServiceTest, CanariesAreNumbersSharesOrNames) {
  EXPECT_EQ(ParseCanary("3")->threads, 3u);
  EXPECT_EQ(ParseCanary("10%")->percent, 10u);
  EXPECT_EQ(ParseCanary("worker-*")->names, "worker-*");
  EXPECT_EQ(ParseCanary("3x")->names, "3x");
  for (const char* const wrong : {"", "0", "0%", "101%", "%", "a%", "-1%"}) {
    EXPECT_FALSE(ParseCanary(wrong).ok()) << wrong;
  }
}

TEST_F(PatchServiceTest, SecondPatchDuringATransitionIsBusy) {
  const StuckThreads stuck;
  Apply(MakeModule("fix", {"f"}), {.wait = {.no_wait = true}});
  const absl::Status busy = service_.Apply(MakeModule("other", {"g"}), {}).status();
  EXPECT_TRUE(absl::StartsWith(busy.message(), "EBUSY: ")) << busy;
}

TEST_F(PatchServiceTest, DryRunLinksAndLeavesNothing) {
  const ApplyResult report = Apply(MakeModule("fix", {"f"}), {.wait = {}, .dry_run = true});
  EXPECT_EQ(report.outcome, Outcome::kDryRun);
  EXPECT_EQ(report.functions.size(), 1u);
  EXPECT_TRUE(registry_->Status().patches.empty());
}

TEST_F(PatchServiceTest, DamagedModulesAreRefused) {
  const std::string module = MakeModule("fix", {"f"});
  EXPECT_FALSE(service_.Apply("", {}).ok());
  EXPECT_FALSE(service_.Apply("ELF?", {}).ok());
  for (size_t size = 0; size < module.size(); ++size) {
    ASSERT_FALSE(service_.Apply(module.substr(0, size), {}).ok()) << size;
  }
  EXPECT_EQ(loader_.loads, 0);
}

TEST_F(PatchServiceTest, NamesThatAreNoPlainNamesAreRefused) {
  for (const char* name : {"", "a/b", "..", "a b", "~2"}) {
    EXPECT_FALSE(service_.Apply(MakeModule(name, {"f"}), {}).ok()) << name;
  }
}

TEST_F(PatchServiceTest, VerbsAreIdempotent) {
  Apply(MakeModule("fix", {"f"}));
  EXPECT_EQ(service_.Enable("fix", {})->outcome, Outcome::kNothingToDo);
  EXPECT_EQ(service_.Force("fix")->outcome, Outcome::kNothingToDo);
  EXPECT_EQ(service_.Disable("fix", {})->outcome, Outcome::kComplete);
  EXPECT_EQ(service_.Disable("fix", {})->outcome, Outcome::kNothingToDo);
  EXPECT_EQ(service_.Enable("fix", {})->outcome, Outcome::kComplete);
  EXPECT_FALSE(service_.Remove("fix").ok());
  EXPECT_EQ(service_.Disable("fix", {})->outcome, Outcome::kComplete);
  EXPECT_EQ(service_.Remove("fix")->outcome, Outcome::kComplete);
  EXPECT_EQ(service_.Remove("fix")->outcome, Outcome::kNothingToDo);
  EXPECT_EQ(service_.Disable("fix", {}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PatchServiceTest, DisableDuringItsTransitionTurnsItRound) {
  Apply(MakeModule("fix", {"f"}));
  const StuckThreads stuck(/*both_ways=*/true);
  EXPECT_EQ(service_.Disable("fix", {.no_wait = true})->outcome, Outcome::kMigrating);
  EXPECT_EQ(service_.Enable("fix", {.no_wait = true})->outcome, Outcome::kMigrating);
  EXPECT_TRUE(registry_->Status().transition_patching);
  EXPECT_EQ(service_.WaitIdle(absl::Milliseconds(10))->outcome, Outcome::kMigrating);
}

TEST_F(PatchServiceTest, ShutdownEndsAWait) {
  const StuckThreads stuck;
  Apply(MakeModule("fix", {"f"}), {.wait = {.no_wait = true}});
  std::thread ender([this] {
    absl::SleepFor(absl::Milliseconds(20));
    service_.Shutdown();
  });
  EXPECT_EQ(service_.WaitIdle(absl::Minutes(5)).status().code(), absl::StatusCode::kCancelled);
  ender.join();
}

TEST_F(PatchServiceTest, PersistKeepsTheModuleUnderItsBareName) {
  EXPECT_FALSE(service_.Apply(MakeModule("fix", {"f"}), {.wait = {}, .persist = true}).ok())
      << "there is no patch directory";
  char path[] = "/tmp/mend-persist-XXXXXX";
  const std::string directory = ::mkdtemp(path);
  PatchService service(registry_.get(), &loader_, directory);
  ASSERT_TRUE(service.Apply(MakeModule("fix", {"f"}), {.wait = {}, .persist = true}).ok());
  const std::string second = MakeModule("fix", {"f"}, "two");
  const absl::StatusOr<ApplyResult> report = service.Apply(second, {.wait = {}, .persist = true});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->patch, "fix~2");
  EXPECT_TRUE(report->persisted);
  std::ifstream file(directory + "/fix.mendpatch", std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), second);
  [[maybe_unused]] const int removed = ::system(absl::StrCat("rm -rf ", directory).c_str());
}

TEST(BaseNameTest, OnlyAGenerationIsCutOff) {
  EXPECT_EQ(BareName("fix~12"), "fix");
  EXPECT_EQ(BareName("fix~"), "fix~");
  EXPECT_EQ(BareName("fix~x"), "fix~x");
  EXPECT_EQ(BareName("fix"), "fix");
}

}  // namespace
}  // namespace mend
