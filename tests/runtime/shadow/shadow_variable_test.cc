// Shadow variables, rule by rule (1.11, V1 to V6), and under load: finders against allocators and
// freers, where a freed variable is poisoned so that a stale pointer in a walk shows.
#include "runtime/shadow/shadow_variable.h"

#include <gmock/gmock.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"

namespace mend {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ShadowVariableTest : public ::testing::Test {
 protected:
  void SetUp() override { table_->SetLog(&events_); }
  void TearDown() override {
    for (unsigned long id = 0; id < 16; ++id) table_->FreeAll(id, nullptr);
    // Two more changes empty the list of the dead: nobody reads.
    table_->FreeAll(0, nullptr);
    table_->FreeAll(0, nullptr);
    EXPECT_EQ(table_->LiveForTest(), 0u);
    EXPECT_EQ(table_->PendingForTest(), 0u);
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    for (const Event& event : events_.ReadAfter(read_, absl::ZeroDuration())) {
      read_ = event.seq;
      lines.push_back(event.text);
    }
    return lines;
  }

  EventLog events_;
  uint64_t read_ = 0;
  const std::unique_ptr<ShadowTable> table_ = std::make_unique<ShadowTable>();
  int object_ = 0;
  int other_ = 0;
};

int SetNumber(void*, void* data, void* number) {
  *static_cast<int*>(data) = *static_cast<int*>(number);
  return 0;
}
int Refuse(void*, void* data, void*) {
  *static_cast<int*>(data) = 99;
  return -12;
}

TEST_F(ShadowVariableTest, V1_GetFindsByObjectAndId) {
  EXPECT_EQ(table_->Find(&object_, 1), nullptr);
  void* const data = table_->Allocate(&object_, 1, {.size = 8});
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(table_->Find(&object_, 1), data);
  EXPECT_EQ(table_->Find(&object_, 2), nullptr);
  EXPECT_EQ(table_->Find(&other_, 1), nullptr);
}

TEST_F(ShadowVariableTest, V2_AllocZeroesAndConstructs) {
  auto* const zeroed = static_cast<long*>(table_->Allocate(&object_, 1, {.size = 64}));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(zeroed[i], 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(zeroed) % alignof(std::max_align_t), 0u);
  int number = 7;
  auto* const set = static_cast<int*>(table_->Allocate(
      &object_, 2, {.size = 4, .constructor = SetNumber, .constructor_data = &number}));
  EXPECT_EQ(*set, 7);
}

TEST_F(ShadowVariableTest, V2_DuplicateWarnsAndKeepsTheFirst) {
  void* const data = table_->Allocate(&object_, 0xab, {.size = 4});
  EXPECT_EQ(table_->Allocate(&object_, 0xab, {.size = 4}), nullptr);
  EXPECT_EQ(table_->Find(&object_, 0xab), data);
  EXPECT_THAT(Lines(), ElementsAre(absl::StrFormat("livepatch: Duplicate shadow variable <%p, ab>",
                                                   static_cast<void*>(&object_))));
  table_->Free(&object_, 0xab, nullptr);
}

TEST_F(ShadowVariableTest, V2_FailedConstructorAttachesNothing) {
  EXPECT_EQ(table_->Allocate(&object_, 1, {.size = 4, .constructor = Refuse}), nullptr);
  EXPECT_EQ(table_->FindOrAllocate(&object_, 1, {.size = 4, .constructor = Refuse}), nullptr);
  EXPECT_EQ(table_->Find(&object_, 1), nullptr);
  const std::string line = absl::StrFormat(
      "livepatch: Failed to construct shadow variable <%p, 1> (-12)", static_cast<void*>(&object_));
  EXPECT_THAT(Lines(), ElementsAre(line, line));
}

TEST_F(ShadowVariableTest, V3_GetOrAllocDoesNotConstructWhatIsThere) {
  int number = 7;
  const ShadowRequest request = {.size = 4, .constructor = SetNumber, .constructor_data = &number};
  auto* const data = static_cast<int*>(table_->FindOrAllocate(&object_, 1, request));
  number = 8;
  EXPECT_EQ(table_->FindOrAllocate(&object_, 1, request), data);
  EXPECT_EQ(*data, 7);
  EXPECT_THAT(Lines(), IsEmpty());
}

std::vector<std::pair<void*, int>>* destroyed = nullptr;
void Destroy(void* object, void* data) {
  destroyed->emplace_back(object, *static_cast<int*>(data));
}

TEST_F(ShadowVariableTest, V4_FreeDestroysOnceAndIgnoresWhatIsNotThere) {
  std::vector<std::pair<void*, int>> log;
  destroyed = &log;
  int number = 7;
  table_->Allocate(&object_, 1, {.size = 4, .constructor = SetNumber, .constructor_data = &number});
  table_->Free(&object_, 2, Destroy);
  table_->Free(&object_, 1, Destroy);
  table_->Free(&object_, 1, Destroy);
  EXPECT_THAT(log, ElementsAre(std::pair<void*, int>(&object_, 7)));
  EXPECT_EQ(table_->Find(&object_, 1), nullptr);
}

TEST_F(ShadowVariableTest, V5_FreeAllTakesEveryObjectOfTheId) {
  std::vector<std::pair<void*, int>> log;
  destroyed = &log;
  std::vector<int> objects(1000);
  for (int& object : objects) {
    ASSERT_NE(table_->Allocate(&object, 1, {.size = 4}), nullptr);
    ASSERT_NE(table_->Allocate(&object, 2, {.size = 4}), nullptr);
  }
  table_->FreeAll(1, Destroy);
  EXPECT_EQ(log.size(), 1000u);
  EXPECT_EQ(table_->LiveForTest(), 1000u);
  EXPECT_EQ(table_->Find(&objects[5], 1), nullptr);
  EXPECT_NE(table_->Find(&objects[5], 2), nullptr);
}

TEST_F(ShadowVariableTest, M10_V6_AnyAddressIsAKeyNullToo) {
  EXPECT_NE(table_->Allocate(nullptr, 1, {.size = 0}), nullptr);
  EXPECT_NE(table_->Find(nullptr, 1), nullptr);
  auto* const nowhere = reinterpret_cast<void*>(uintptr_t{1});
  EXPECT_NE(table_->Allocate(nowhere, 1, {.size = 4}), nullptr);
  EXPECT_NE(table_->Find(nowhere, 1), nullptr);
}

TEST_F(ShadowVariableTest, TooMuchIsRefused) {
  EXPECT_EQ(table_->Allocate(&object_, 1, {.size = SIZE_MAX}), nullptr);
  EXPECT_EQ(table_->Allocate(&object_, 1, {.size = SIZE_MAX / 2}), nullptr);
  EXPECT_EQ(table_->Find(&object_, 1), nullptr);
}

ShadowTable* reentered = nullptr;

TEST_F(ShadowVariableTest, ConstructorThatCallsBackIsRefusedAndDoesNotDeadlock) {
  reentered = table_.get();
  const auto constructor = [](void* object, void*, void*) {
    reentered->Free(object, 1, nullptr);
    return reentered->Allocate(object, 2, {.size = 4}) == nullptr &&
                   reentered->Find(object, 3) == nullptr
               ? 0
               : -1;
  };
  EXPECT_NE(table_->Allocate(&object_, 3, {.size = 4, .constructor = constructor}), nullptr);
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(ShadowVariableTest, V3_OneOfManyAllocates) {
  std::atomic<int> constructed = 0;
  const auto constructor = [](void*, void*, void* counter) {
    static_cast<std::atomic<int>*>(counter)->fetch_add(1);
    return 0;
  };
  std::vector<std::thread> threads;
  std::vector<void*> results(8);
  std::atomic<bool> go = false;
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      while (!go) std::this_thread::yield();
      results[i] = table_->FindOrAllocate(
          &object_, 1, {.size = 4, .constructor = constructor, .constructor_data = &constructed});
    });
  }
  go = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(constructed, 1);
  for (void* const result : results) EXPECT_EQ(result, results[0]);
}

std::atomic<bool> in_constructor = false;
std::atomic<int> handled = 0;
std::atomic<int> handled_in_constructor = 0;

// A handler may fork, which takes the lock that its thread holds during a constructor.
TEST_F(ShadowVariableTest, HandlersWaitForTheEndOfAConstructor) {
  struct sigaction action = {}, before;
  action.sa_handler = [](int) {
    ++handled;
    if (in_constructor) ++handled_in_constructor;
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const auto constructor = [](void*, void*, void*) {
    in_constructor = true;
    pthread_kill(pthread_self(), SIGUSR1);
    in_constructor = false;
    return 0;
  };
  EXPECT_NE(table_->Allocate(&object_, 1, {.size = 4, .constructor = constructor}), nullptr);
  sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(handled_in_constructor, 0);
}

// Objects that share few buckets; the data says whose it is. Each object has an owner, who
// allocates and frees; everybody looks. A look that returns another object's data, or nothing while
// its own variable is attached, is wrong.
TEST_F(ShadowVariableTest, V1_V4_StressFindersAgainstFreers) {
  constexpr int kThreads = 4;
  constexpr int kObjectsEach = 64;
  constexpr int kRounds = 20'000;
  std::vector<std::array<char, 16>> objects(kThreads * kObjectsEach);
  std::atomic<int> wrong = 0;
  const auto work = [&](int self) {
    std::mt19937 random(static_cast<unsigned>(self));
    for (int round = 0; round < kRounds; ++round) {
      void* const own =
          &objects[static_cast<size_t>(self * kObjectsEach) + random() % kObjectsEach];
      const auto constructor = [](void* object, void* data, void*) {
        *static_cast<void**>(data) = object;
        return 0;
      };
      void* const made = table_->FindOrAllocate(
          own, 1, {.size = sizeof(void*), .constructor = constructor, .constructor_data = nullptr});
      if (made == nullptr || *static_cast<void**>(made) != own) ++wrong;
      if (table_->Find(own, 1) != made) ++wrong;
      // Somebody else's: whether it is there is anybody's guess; the walk must not go astray.
      (void)table_->Find(&objects[random() % objects.size()], 1);
      if (random() % 2 == 0) {
        table_->Free(own, 1, [](void*, void* data) { *static_cast<void**>(data) = nullptr; });
        if (table_->Find(own, 1) != nullptr) ++wrong;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace mend
