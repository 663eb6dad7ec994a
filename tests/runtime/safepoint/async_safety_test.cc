// The safepoint signal arriving anywhere: a thread allocates, loads libraries, throws, waits for
// locks and registers threads, while signals are sent to it as fast as it answers them, and each
// walks its stack. It must make progress: a handler that needs a lock which the interrupted code
// holds would hang.
//
// async_safety_realtime_test is the same with the sources of the handler's path under
// RealtimeSanitizer: whatever is `nonblocking` and allocates, locks or makes a blocking call ends
// it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <stdlib.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unwind_table.h"
#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {
namespace {

std::mutex contended;

void Allocate() {
  std::vector<void*> blocks;
  for (size_t size = 16; size < 400'000; size *= 3) blocks.push_back(malloc(size));
  for (void* const block : blocks) free(block);
}

void LoadLibrary() {
  void* const handle = dlopen("libutil.so.1", RTLD_NOW);
  void* const other = dlopen("libresolv.so.2", RTLD_NOW);
  if (other != nullptr) {
    dlsym(other, "res_query");
    dlclose(other);
  }
  if (handle != nullptr) dlclose(handle);
}

[[gnu::noinline]] void Throw(int depth) {
  const std::string frame_with_a_destructor(30, 'x');
  if (depth == 0) throw std::runtime_error(frame_with_a_destructor);
  Throw(depth - 1);
}
void ThrowDeep() {
  try {
    Throw(20);
  } catch (const std::exception&) {
  }
}

// Contended by a rival, so that the slow path is taken.
void Lock() {
  const std::lock_guard<std::mutex> lock(contended);
  for (volatile int i = 0; i < 200; i = i + 1) {
  }
}

void StartThread() {
  std::thread([] {}).join();
}

// The runtime's own lock and list, in the middle of which the signal may come too.
void ChangeUnwindTable() {
  alignas(16) static uint8_t text[64];
  const CodeAddress begin{reinterpret_cast<uintptr_t>(text)};
  UnwindTable::Get().AddStubRegion({begin, begin + sizeof text});
  UnwindTable::Get().RemoveRegion({begin, begin + sizeof text});
}

struct Work {
  const char* name;
  void (*step)();
};
void PrintTo(const Work& work, std::ostream* out) { *out << work.name; }

class AsyncSafetyTest : public CoreTest, public ::testing::WithParamInterface<Work> {
 protected:
  // A request that looks at the whole stack, and forbids nothing that is ever on it.
  const SwitchRequest* NextRequest() {
    auto request = std::make_unique<SwitchRequest>();
    request->generation = Handshake::Get().NextGeneration();
    request->forbidden = {{CodeAddress{16}, CodeAddress{32}}};
    requests_.push_back(std::move(request));
    Handshake::Get().Publish(requests_.back().get());
    return requests_.back().get();
  }
  std::vector<std::unique_ptr<SwitchRequest>> requests_;  // until the test ends
};

ThreadRecord* RecordOf(pid_t tid) {
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (record->tid.load() == tid) return record;
  }
  return nullptr;
}

TEST_P(AsyncSafetyTest, SignalsDoNotHoldItUp) {
  (void)registry();  // installs the signal
  if (!HasSafepointSignal()) GTEST_SKIP() << "the safepoint signal is off in this build";
  std::atomic<pid_t> tid{0};
  std::atomic<bool> stop{false};
  std::atomic<unsigned> steps{0};
  ProgramThread worker([&] {
    tid = gettid();
    for (; !stop; ++steps) GetParam().step();
  });
  std::thread rival([&] {
    while (!stop && GetParam().step == Lock) Lock();
  });
  while (tid == 0) std::this_thread::yield();
  ThreadRecord* const record = RecordOf(tid);
  ASSERT_NE(record, nullptr);
  constexpr unsigned kSignals = 500;
  unsigned delivered = 0, walked = 0;
  const int64_t end = MonotonicNs() + 100'000'000'000;
  while (delivered < kSignals && MonotonicNs() < end) {
    const SwitchRequest* const request = NextRequest();
    if (!SendSafepointSignal(*record)) continue;
    while (record->signal_in_flight.load() && MonotonicNs() < end) std::this_thread::yield();
    ++delivered;
    if (record->ack.load() >= request->generation) ++walked;
  }
  const unsigned steps_then = steps;
  while (steps == steps_then && MonotonicNs() < end) std::this_thread::yield();
  EXPECT_GT(steps, steps_then) << "the thread is stuck";
  EXPECT_EQ(delivered, kSignals);
  // Within a throw few walks are complete: libgcc's functions rewrite their own frames.
  EXPECT_GT(walked, 0u);
  stop = true;
  worker.Join();
  rival.join();
  Handshake::Get().Publish(nullptr);
}

INSTANTIATE_TEST_SUITE_P(Activities, AsyncSafetyTest,
                         ::testing::Values(Work{"Malloc", Allocate}, Work{"Dlopen", LoadLibrary},
                                           Work{"Throw", ThrowDeep}, Work{"Lock", Lock},
                                           Work{"ThreadStart", StartThread},
                                           Work{"UnwindTable", ChangeUnwindTable}),
                         [](const auto& info) { return std::string(info.param.name); });

#ifdef MEND_REALTIME_SANITIZER
void AllocateInHandler(int) noexcept [[clang::nonblocking]] {
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wfunction-effects"
  void* volatile block = malloc(16);
  free(block);
#pragma clang diagnostic pop
}

TEST(RealtimeControlDeathTest, AnAllocationIsSeen) {
  EXPECT_DEATH(AllocateInHandler(0), "unsafe-library-call");
}
#endif

}  // namespace
}  // namespace mend::testing
