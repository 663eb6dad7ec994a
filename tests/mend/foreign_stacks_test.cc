// A host whose fibers call hosted code, which calls the host, which goes on with another fiber: by
// code of its own (StackSwitch), and by swapcontext.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "mend/runtime.h"

// The simulation's (fiber_switch.S): stores the callee-saved registers on the stack that it leaves.
extern "C" void MendFiberSwitch(void** save_sp, void* load_sp);

namespace {

using ::testing::HasSubstr;

class Fiber;
Fiber* running = nullptr;

// What the host's fibers have in common.
class Fiber {
 public:
  virtual ~Fiber() = default;
  virtual void Resume() = 0;  // until it yields, or has ended
  virtual void Yield() = 0;
  std::function<void()> body;
  bool done = false;
};

// Unmapped when the fiber goes: what was suspended there cannot be gone back to.
class StackMemory {
 public:
  StackMemory()
      : low_(static_cast<char*>(
            mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~StackMemory() { munmap(low_, kBytes); }
  StackMemory(const StackMemory&) = delete;
  StackMemory& operator=(const StackMemory&) = delete;
  static constexpr size_t size() { return kBytes; }
  char* data() const { return low_; }

 private:
  static constexpr size_t kBytes = 256 * 1024;
  char* const low_;
};

// Switches by assembler, and tells nobody.
class UntoldFiber : public Fiber {
 public:
  explicit UntoldFiber(std::function<void()> run) {
    body = std::move(run);
    auto** const top = reinterpret_cast<void**>(memory_.data() + memory_.size()) - 8;
    for (int i = 0; i < 8; ++i) top[i] = nullptr;
    top[6] = reinterpret_cast<void*>(&Begin);
    sp_ = top;
  }
  void Resume() override {
    running = this;
    MendFiberSwitch(&resumer_sp_, sp_);
  }
  void Yield() override { MendFiberSwitch(&sp_, resumer_sp_); }

 protected:
  virtual void Arrived() {}  // on the fiber's own stack, for the first time
  StackMemory memory_;
  void* sp_ = nullptr;
  void* resumer_sp_ = nullptr;

 private:
  static void Begin() {
    static_cast<UntoldFiber*>(running)->Arrived();
    running->body();
    running->done = true;
    running->Yield();
    abort();
  }
};

class OwnFiber : public UntoldFiber {
 public:
  using UntoldFiber::UntoldFiber;
  void Resume() override {
    running = this;
    const mend::StackSwitch leaving(sp_);
    MendFiberSwitch(&resumer_sp_, sp_);
  }
  void Yield() override {
    const mend::StackSwitch leaving(resumer_sp_);
    MendFiberSwitch(&sp_, resumer_sp_);
  }

 private:
  void Arrived() override { mend::StackSwitch::Arrive(); }
  mend::ForeignStack stack_{memory_.data(), memory_.size()};
};

// Against the rule: its StackSwitch is in no frame.
class CarelessFiber : public OwnFiber {
 public:
  using OwnFiber::OwnFiber;
  void Yield() override {
    const auto leaving = std::make_unique<mend::StackSwitch>(resumer_sp_);
    MendFiberSwitch(&sp_, resumer_sp_);
  }
};

class ContextFiber : public Fiber {
 public:
  explicit ContextFiber(std::function<void()> run) {
    body = std::move(run);
    getcontext(&self_);
    self_.uc_stack.ss_sp = memory_.data();
    self_.uc_stack.ss_size = memory_.size();
    self_.uc_link = &resumer_;
    makecontext(&self_, &Begin, 0);
  }
  void Resume() override {
    running = this;
    swapcontext(&resumer_, &self_);
  }
  void Yield() override { swapcontext(&self_, &resumer_); }

 private:
  static void Begin() {
    running->body();
    running->done = true;
  }
  StackMemory memory_;
  ucontext_t self_;
  ucontext_t resumer_;
};

constexpr char kSource[] = R"(
#include <unistd.h>
extern "C" void HostYield(void);
extern "C" int nap() { return usleep(1000); }
static volatile int one = 1;
__attribute__((noinline)) int first() { return one; }
__attribute__((noinline)) int second() { return one; }
extern "C" int unit() {
  const int before = first();
  HostYield();
  return before * 10 + second();
}
)";

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
#endif

template <typename FiberType>
class ForeignStacksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kAddressSanitizer) GTEST_SKIP() << "AddressSanitizer does not know of the host's stacks";
  }
};
using FiberTypes = ::testing::Types<OwnFiber, ContextFiber>;
TYPED_TEST_SUITE(ForeignStacksTest, FiberTypes);

struct Service {
  std::unique_ptr<mend::Runtime> runtime;
  std::string module;
};

// One for all tests: a process has one runtime at a time, and the sources stay hosted.
Service& TheService() {
  static Service* const service = [] {
    auto* const made = new Service;
    const std::string folder = ::testing::TempDir() + "foreign_stacks." + std::to_string(getpid());
    const std::string make = "mkdir -p " + folder + "/new";
    EXPECT_EQ(system(make.c_str()), 0);
    std::ofstream(folder + "/unit.cc") << kSource;
    std::string changed = kSource;
    // Both functions, and not their caller, which each patch holds.
    for (int i = 0; i < 2; ++i) changed.replace(changed.find("return one;"), 11, "return 2*one;");
    std::ofstream(folder + "/new/unit.cc") << changed;
    made->runtime = *mend::Runtime::Create(
        {.name = "foreign-stacks", .serve = true, .socket = folder + "/socket", .log = ""});
    EXPECT_TRUE(made->runtime->Load(folder + "/unit.cc").ok());
    made->module = folder + "/fix.mendpatch";
    const std::string build = std::string(PATCHC_PROGRAM) + " build -o " + made->module +
                              " --name fix --hold unit --base " + folder + "/socket " + folder +
                              "/new/unit.cc >&2";
    EXPECT_EQ(system(build.c_str()), 0);
    return made;
  }();
  return *service;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void HostYield() { running->Yield(); }

namespace {

// Suspended in the middle of a unit: waited for; and it ends as it began, here or in another
// thread, though the thread that goes on with it has switched.
TYPED_TEST(ForeignStacksTest, ASuspendedFiberIsWaitedForAndKeepsItsVersion) {
  mend::Runtime& runtime = *TheService().runtime;
  auto unit = *runtime.Lookup<int()>("unit");
  for (const bool elsewhere : {false, true}) {
    int seen = 0;
    TypeParam fiber([&] { seen = unit(); });
    fiber.Resume();
    ASSERT_FALSE(fiber.done);
    const auto refused = runtime.Apply(TheService().module, {.timeout = absl::Milliseconds(200)});
    ASSERT_EQ(refused.status().code(), absl::StatusCode::kDeadlineExceeded) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("suspended context in unit"));

    const auto started = runtime.Apply(TheService().module, {.timeout = absl::Milliseconds(200),
                                                             .on_timeout = mend::OnTimeout::kWait});
    ASSERT_TRUE(started.ok()) << started.status();
    EXPECT_FALSE(started->complete);
    int fresh = 0;
    TypeParam other([&] { fresh = unit(); });
    other.Resume();
    other.Resume();
    EXPECT_EQ(fresh, 22) << "this thread has switched";
    const auto resume = [&fiber] { fiber.Resume(); };
    if (elsewhere) {
      std::thread(resume).join();
    } else {
      resume();
    }
    EXPECT_TRUE(fiber.done);
    EXPECT_EQ(seen, 11) << "a unit that began before the patch";
    const auto again = runtime.Apply(TheService().module);
    EXPECT_TRUE(again.ok()) << again.status();
    ASSERT_TRUE(runtime.Disable("fix").ok());
  }
}

// A fiber that ended, or was thrown away, holds nothing up.
TYPED_TEST(ForeignStacksTest, AFiberThatIsGoneIsNotWaitedFor) {
  mend::Runtime& runtime = *TheService().runtime;
  auto unit = *runtime.Lookup<int()>("unit");
  {
    TypeParam thrown_away([&] { unit(); });
    thrown_away.Resume();
  }
  const auto applied = runtime.Apply(TheService().module, {.timeout = absl::Seconds(5)});
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_TRUE(applied->complete);
  ASSERT_TRUE(runtime.Disable("fix").ok());
}

// What cannot be told from a stack that is used for something else is not taken for one.
TEST(CarelessHostTest, ASuspendedFiberIsWaitedFor) {
  if (kAddressSanitizer) GTEST_SKIP() << "AddressSanitizer does not know of the host's stacks";
  mend::Runtime& runtime = *TheService().runtime;
  auto unit = *runtime.Lookup<int()>("unit");
  int seen = 0;
  CarelessFiber fiber([&] { seen = unit(); });
  fiber.Resume();
  const auto refused = runtime.Apply(TheService().module, {.timeout = absl::Milliseconds(200)});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDeadlineExceeded) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("suspended context"));
  fiber.Resume();
  EXPECT_EQ(seen, 11);
}

// The last of all: it is remembered for good.
TEST(UntoldHostTest, PatchesAreRefusedUntilTheHostSaysSo) {
  if (kAddressSanitizer) GTEST_SKIP() << "AddressSanitizer does not know of the host's stacks";
  mend::Runtime& runtime = *TheService().runtime;
  auto nap = *runtime.Lookup<int()>("nap");
  UntoldFiber fiber([&] { nap(); });
  fiber.Resume();
  EXPECT_TRUE(fiber.done);
  const auto refused = runtime.Apply(TheService().module);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("MEND-E0144"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("was in usleep on a stack"));

  runtime.IgnoreUnregisteredStacks(true);
  const auto applied = runtime.Apply(TheService().module);
  EXPECT_TRUE(applied.ok()) << applied.status();
  EXPECT_TRUE(runtime.Disable("fix").ok());
}

}  // namespace
