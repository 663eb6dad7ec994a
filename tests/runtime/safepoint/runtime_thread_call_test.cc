// Calls that the runtime's threads make after the program's first one: whoever was created before
// its creator has made the call has to make it, too.
#include "runtime/safepoint/runtime_thread_call.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <functional>

#include "runtime/base/raw_syscall.h"

namespace mend {
namespace {

constexpr uint64_t kSetxidSignalBit = uint64_t{1} << 32;

// By the kernel's call: libc's does not change its own signals.
void ChangeMask(int how) {
  RawSyscall(SYS_rt_sigprocmask, how, reinterpret_cast<long>(&kSetxidSignalBit), 0,
             sizeof kSetxidSignalBit);
}

// A thread with a place, as the runtime's have.
class PlacedThread {
 public:
  explicit PlacedThread(std::function<void()> body)
      : place_(TakeRuntimePlace()), body_(std::move(body)) {
    pthread_create(&thread_, nullptr, &Run, this);
  }
  void Join() { pthread_join(thread_, nullptr); }

 private:
  static void* Run(void* self) {
    auto* const thread = static_cast<PlacedThread*>(self);
    EnterRuntimePlace(thread->place_);
    thread->body_();
    LeaveRuntimePlace(thread->place_);
    return nullptr;
  }

  const int place_;
  const std::function<void()> body_;
  pthread_t thread_ = {};
};

void Await(const std::atomic<bool>& flag) {
  while (!flag.load()) usleep(1000);
}

TEST(RuntimeThreadCallTest, APlaceThatIsUsedAgainInMidCallIsAskedAgain) {
  int calls[2];  // each thread's call writes a byte
  ASSERT_EQ(0, pipe(calls));
  std::atomic<bool> first_ends{false}, creator_waits{false}, all_end{false};
  PlacedThread first([&] { Await(first_ends); });
  PlacedThread* created = nullptr;
  PlacedThread creator([&] {
    ChangeMask(SIG_BLOCK);
    creator_waits.store(true);
    char byte;
    EXPECT_EQ(1, read(calls[0], &byte, 1));  // the first thread has made the call
    first_ends.store(true);
    first.Join();
    // In the place that has become free. It was created before its creator has made the call.
    created = new PlacedThread([&] {
      ChangeMask(SIG_UNBLOCK);
      Await(all_end);
    });
    ChangeMask(SIG_UNBLOCK);
    Await(all_end);
  });
  Await(creator_waits);
  RepeatInRuntimeThreads({SYS_write, {calls[1], reinterpret_cast<long>("x"), 1}});
  int bytes = 0;
  EXPECT_EQ(0, ioctl(calls[0], FIONREAD, &bytes));
  EXPECT_EQ(2, bytes) << "the creator and the thread that it has created";
  all_end.store(true);
  creator.Join();
  created->Join();
  delete created;
  close(calls[0]);
  close(calls[1]);
}

}  // namespace
}  // namespace mend
