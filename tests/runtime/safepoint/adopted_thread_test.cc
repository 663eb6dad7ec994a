// A thread that nobody announced, and whose end nobody announces either.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend {
namespace {

ThreadRecord* FindRecord(pid_t tid) {
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (record->activity.Get() != Activity::kGone && record->tid.load() == tid) return record;
  }
  return nullptr;
}

// Nobody would ever answer for the old record: the thread that has the id answers for its own.
TEST(AdoptedThreadTest, ItsIdIsANewThreadsByNow) {
  ASSERT_TRUE(InstallSafepointSignal().ok());
  if (!HasSafepointSignal()) GTEST_SKIP() << "threads cannot be found without the signal";
#ifdef MEND_THREAD_SANITIZER
  GTEST_SKIP() << "threads cannot be found without the signal";
#endif
  ThreadRegistry& registry = ThreadRegistry::Get();
  ASSERT_TRUE(registry.RegisterMainThread());
  ThreadRecord* const own = ThreadRegistry::CurrentRecord();

  std::atomic<pid_t> tid{0};
  std::atomic<bool> stop{false};
  std::thread unannounced([&] {
    tid.store(gettid());
    while (!stop.load()) std::this_thread::yield();
  });
  while (tid.load() == 0) std::this_thread::yield();
  EXPECT_GE(registry.AdoptUnknownThreads(), 1);
  ThreadRecord* const adopted = FindRecord(tid.load());
  ASSERT_NE(adopted, nullptr);
  EXPECT_FALSE(registry.ReapAdopted(adopted));

  stop.store(true);
  unannounced.join();
  // As if the kernel had given the id to a thread that begins now.
  adopted->tid.store(own->tid.load());
  EXPECT_TRUE(registry.ReapAdopted(adopted));
  EXPECT_EQ(adopted->activity.Get(), Activity::kGone);
  EXPECT_EQ(FindRecord(own->tid.load()), own);
  registry.EndThread();
}

}  // namespace
}  // namespace mend
