#include "patchc/compile/ordered_compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;

// An order of units that are named by their numbers; remembers what it was handed.
struct Units {
  CompileOrder Order(size_t count) {
    return {.count = count,
            .prepare = [this](size_t i) -> absl::StatusOr<CompileRequest> {
              if (i == unprepared) return absl::NotFoundError(absl::StrCat("no unit ", i));
              CompileRequest request;
              request.output = absl::StrCat(i);
              return request;
            },
            .take = [this](size_t i, const CompileRequest& request,
                           const CompileResult& result) -> absl::StatusOr<AfterUnit> {
              EXPECT_EQ(request.output, absl::StrCat(i));
              taken.push_back(result.object);
              return i == last ? AfterUnit::kStop : AfterUnit::kContinue;
            }};
  }

  size_t unprepared = static_cast<size_t>(-1);
  size_t last = static_cast<size_t>(-1);
  std::vector<std::string> taken;
};

CompileResult ResultOf(const CompileRequest& request) {
  CompileResult result;
  result.object = absl::StrCat("object ", request.output);
  return result;
}

TEST(OrderedCompileTest, ResultsComeInOrderWhateverIsDoneFirst) {
  Units units;
  absl::Notification done[3];
  const auto backwards = [&](const CompileRequest& request) {
    const size_t i = static_cast<size_t>(request.output[0] - '0');
    if (i + 1 < 3) done[i + 1].WaitForNotification();
    done[i].Notify();
    return ResultOf(request);
  };
  ASSERT_TRUE(CompileInOrder(units.Order(3), 3, backwards).ok());
  EXPECT_THAT(units.taken, ElementsAre("object 0", "object 1", "object 2"));
}

// A unit that takes long keeps the others from being taken, not from being compiled.
TEST(OrderedCompileTest, ASlowUnitHoldsUpNobody) {
  Units units;
  absl::Notification last_is_done;
  const auto slow_first = [&](const CompileRequest& request) {
    if (request.output == "0") last_is_done.WaitForNotification();
    if (request.output == "5") last_is_done.Notify();
    return ResultOf(request);
  };
  ASSERT_TRUE(CompileInOrder(units.Order(6), 2, slow_first).ok());
  EXPECT_EQ(units.taken.size(), 6u);
}

TEST(OrderedCompileTest, NoMoreThanJobsAtATime) {
  for (const size_t jobs : {size_t{1}, size_t{3}}) {
    Units units;
    absl::Mutex mu;
    size_t running = 0;
    size_t most = 0;
    const auto counting = [&](const CompileRequest& request) {
      {
        const absl::MutexLock lock(&mu);
        most = std::max(most, ++running);
      }
      CompileResult result = ResultOf(request);
      const absl::MutexLock lock(&mu);
      --running;
      return result;
    };
    ASSERT_TRUE(CompileInOrder(units.Order(40), jobs, counting).ok());
    EXPECT_EQ(units.taken.size(), 40u);
    EXPECT_LE(most, jobs);
  }
}

TEST(OrderedCompileTest, NothingIsTakenBehindAStop) {
  for (const size_t jobs : {size_t{1}, size_t{4}}) {
    Units units;
    units.last = 1;
    ASSERT_TRUE(CompileInOrder(units.Order(30), jobs, ResultOf).ok());
    EXPECT_THAT(units.taken, ElementsAre("object 0", "object 1"));
  }
}

TEST(OrderedCompileTest, AnErrorComesInItsTurn) {
  for (const size_t jobs : {size_t{1}, size_t{4}}) {
    Units units;
    units.unprepared = 2;
    const absl::Status status = CompileInOrder(units.Order(30), jobs, ResultOf);
    EXPECT_EQ(status, absl::NotFoundError("no unit 2"));
    EXPECT_THAT(units.taken, ElementsAre("object 0", "object 1"));
    // A stop before it hides it.
    Units stopped;
    stopped.unprepared = 2;
    stopped.last = 1;
    EXPECT_TRUE(CompileInOrder(stopped.Order(30), jobs, ResultOf).ok());
  }
}

TEST(OrderedCompileTest, NothingToCompile) {
  Units units;
  EXPECT_TRUE(CompileInOrder(units.Order(0), 4, ResultOf).ok());
  EXPECT_GT(DefaultCompileJobs(), 0u);
}

}  // namespace
}  // namespace mend::patchc
