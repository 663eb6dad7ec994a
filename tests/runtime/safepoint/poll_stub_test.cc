#include "runtime/safepoint/safepoint_poll.h"

#include <cfenv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>

#include "gtest/gtest.h"
#include "runtime/safepoint/stack_walker.h"
#include "tests/runtime/safepoint/single_stepper.h"

namespace mend {
namespace {

// Every register that a function can keep a value in. poll_stub_test_asm.S knows the layout.
struct RegisterState {
  uint64_t gpr[16] = {};  // rax rbx rcx rdx rsi rdi rbp r8-r15, one unused
  uint64_t flags = 0;
  uint32_t control = 0;
  uint32_t mxcsr = 0;
  uint8_t x87[2][16] = {};
  uint8_t unused[144] = {};
  uint8_t vectors[32][64] = {};
  uint64_t masks[8] = {};
};
static_assert(offsetof(RegisterState, flags) == 128 && offsetof(RegisterState, control) == 136 &&
              offsetof(RegisterState, x87) == 144 && offsetof(RegisterState, vectors) == 320 &&
              offsetof(RegisterState, masks) == 2368);

extern "C" void CallPollWithState(const RegisterState* before, RegisterState* after, int level);
extern "C" int CallPollOnly();
extern "C" void TrashRegisters(int level);
extern "C" const char PollReturnsHere[];

int cpu_level() {
  return __builtin_cpu_supports("avx512bw") ? 2 : __builtin_cpu_supports("avx2") ? 1 : 0;
}

RegisterContext seen_context;
unsigned seen_mxcsr;
uint16_t seen_control;
void (*inspect)() = nullptr;

// Arithmetic, direction and alignment-check-free flags in both states.
constexpr uint64_t kFlagPatterns[] = {0x202, 0x202 | 0x8d5, 0x202 | 0x400, 0x202 | 0xcd5};

RegisterState RandomState(uint32_t seed, uint64_t flags) {
  std::mt19937_64 random(seed);
  RegisterState state;
  for (uint64_t& value : state.gpr) value = random();
  state.flags = flags;
  state.control = 0x0f7f;         // round towards zero, extended precision
  state.mxcsr = 0x1f80 | 0x6000;  // round towards zero
  const long double x87[] = {1.0L / 3, -7.25e300L};
  for (int i = 0; i < 2; ++i) memcpy(state.x87[i], &x87[i], 10);
  for (auto& vector : state.vectors) {
    for (uint8_t& byte : vector) byte = static_cast<uint8_t>(random());
  }
  for (uint64_t& mask : state.masks) mask = random();
  return state;
}

class PollStubTest : public testing::Test {
 protected:
  void SetUp() override {
    InitializePollStub();
    inspect = nullptr;
  }
};

TEST_F(PollStubTest, EveryRegisterSurvives) {
  const int level = cpu_level();
  const size_t vector_bytes = level == 2 ? 64 : level == 1 ? 32 : 16;
  const size_t vector_count = level == 2 ? 32 : 16;
  for (int try_level = 0; try_level <= level; ++try_level) {
    for (uint32_t round = 0; round < 64; ++round) {
      const RegisterState before = RandomState(round, kFlagPatterns[round % 4]);
      RegisterState after;
      CallPollWithState(&before, &after, try_level);
      for (int i = 0; i < 15; ++i) ASSERT_EQ(before.gpr[i], after.gpr[i]) << "register " << i;
      ASSERT_EQ(before.flags & 0xcd5, after.flags & 0xcd5);
      ASSERT_EQ(static_cast<uint16_t>(before.control), static_cast<uint16_t>(after.control));
      ASSERT_EQ(before.mxcsr & 0xffc0, after.mxcsr & 0xffc0);
      for (int i = 0; i < 2; ++i) ASSERT_EQ(memcmp(before.x87[i], after.x87[i], 10), 0) << i;
      const size_t bytes = try_level == 2 ? vector_bytes : try_level == 1 ? 32 : 16;
      for (size_t i = 0; i < (try_level == 2 ? vector_count : 16); ++i) {
        ASSERT_EQ(memcmp(before.vectors[i], after.vectors[i], bytes), 0) << "vector " << i;
      }
      for (int i = 0; try_level == 2 && i < 8; ++i) ASSERT_EQ(before.masks[i], after.masks[i]) << i;
    }
  }
}

TEST_F(PollStubTest, SlowPathGetsTheCallersRegistersAndACleanEnvironment) {
  const RegisterState before = RandomState(1, 0x202);
  RegisterState after;
  CallPollWithState(&before, &after, cpu_level());
  EXPECT_EQ(seen_context.rip, reinterpret_cast<uintptr_t>(PollReturnsHere));
  EXPECT_EQ(seen_context.rbx, before.gpr[1]);
  EXPECT_EQ(seen_context.rbp, before.gpr[6]);
  EXPECT_EQ(seen_context.r12, before.gpr[11]);
  EXPECT_EQ(seen_context.r13, before.gpr[12]);
  EXPECT_EQ(seen_context.r14, before.gpr[13]);
  EXPECT_EQ(seen_context.r15, before.gpr[14]);
  EXPECT_EQ(seen_mxcsr, 0x1f80u);
  EXPECT_EQ(seen_control, 0x37f);
}

WalkEnd inspected_end;
size_t inspected_frames;

bool CountFrame(const WalkFrame&, void*) noexcept [[clang::nonblocking]] { return true; }

TEST_F(PollStubTest, CallerCanBeWalkedFromTheContext) {
  inspect = [] {
    WalkOptions options;
    options.stack = CurrentStack();
    const WalkResult result = WalkStack(seen_context, options, CountFrame, nullptr);
    inspected_end = result.end;
    inspected_frames = result.frames;
  };
  EXPECT_EQ(CallPollOnly(), 42);
  EXPECT_EQ(inspected_end, WalkEnd::kComplete) << WalkEndName(inspected_end);
  EXPECT_GT(inspected_frames, 3u);
}

TEST_F(PollStubTest, EveryInstructionOfTheStubCanBeWalked) {
  const StepReport report = SingleStep(CallPollOnly);
  EXPECT_EQ(report.result, 42);
  EXPECT_EQ(report.wrong, 0u) << std::hex << report.first_wrong_pc;
  EXPECT_EQ(report.incomplete, 0u)
      << WalkEndName(report.first_incomplete_end) << " " << std::hex << report.first_incomplete_pc;
  EXPECT_GT(report.right, 70u);
}

}  // namespace
}  // namespace mend

// The runtime's own is in another object of the archive, which this definition keeps out.
extern "C" void MendPollSlowPath(const mend::RegisterContext* context) {
  using mend::seen_context;
  seen_context = *context;
  __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mend::seen_mxcsr), "=m"(mend::seen_control));
  if (mend::inspect != nullptr) mend::inspect();
  mend::TrashRegisters(mend::cpu_level());
}
