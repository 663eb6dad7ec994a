// Every instruction of the scenarios, in their own code, libc, libgcc, the dynamic linker and the
// vdso: the walker's chain against the true one.
#include <signal.h>
#include <unistd.h>

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/safepoint/own_unwind_data.h"
#include "tests/runtime/safepoint/single_stepper.h"
#include "tests/runtime/safepoint/walk_scenarios.h"

namespace mend {
namespace {

constexpr size_t kAny = ~size_t{0};

struct Scenario {
  const char* name;
  int (*function)();
  // Instructions at which the walker may say that it does not know: libgcc's throwing functions
  // (they rewrite their own frames) with all that they call, and the end of longjmp.
  size_t incomplete_max = 0;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

class StackWalkerStepTest : public testing::TestWithParam<Scenario> {};

void ExpectRight(const StepReport& report, size_t incomplete_max) {
  EXPECT_EQ(report.wrong, 0u) << "first at " << std::hex << report.first_wrong_pc;
  EXPECT_EQ(report.wrong_incomplete, 0u);
  EXPECT_LE(report.incomplete, incomplete_max)
      << WalkEndName(report.first_incomplete_end) << ", first at " << std::hex
      << report.first_incomplete_pc;
  EXPECT_GT(report.right, 5u);
  testing::Test::RecordProperty("instructions", static_cast<int>(report.instructions));
}

TEST_P(StackWalkerStepTest, EveryInstructionInHostLibrary) {
  ExpectRight(SingleStep(GetParam().function), GetParam().incomplete_max);
}

TEST_P(StackWalkerStepTest, EveryInstructionOfHostedText) {
  const HostedForTest hosted(reinterpret_cast<void*>(GetParam().function));
  ExpectRight(SingleStep(GetParam().function), GetParam().incomplete_max);
}

INSTANTIATE_TEST_SUITE_P(Scenarios, StackWalkerStepTest,
                         testing::Values(Scenario{"Leaf", scenarios::Leaf},
                                         Scenario{"Alloca", scenarios::Alloca},
                                         Scenario{"OverAligned", scenarios::OverAligned},
                                         Scenario{"Varargs", scenarios::Varargs},
                                         Scenario{"TailCall", scenarios::TailCall},
                                         Scenario{"ShrinkWrapped", scenarios::ShrinkWrapped},
                                         Scenario{"Recursion", scenarios::Recursion},
                                         Scenario{"ManyArguments", scenarios::ManyArguments},
                                         Scenario{"QsortCallback", scenarios::QsortCallback},
                                         Scenario{"PthreadOnce", scenarios::PthreadOnce},
                                         Scenario{"StdFunction", scenarios::StdFunction},
                                         Scenario{"Vdso", scenarios::Vdso},
                                         Scenario{"Allocation", scenarios::Allocation},
                                         Scenario{"Exceptions", scenarios::Exceptions, kAny},
                                         Scenario{"Longjmp", scenarios::Longjmp, 9}),
                         [](const testing::TestParamInfo<Scenario>& info) {
                           return info.param.name;
                         });

// The first call only is bound lazily, so this is stepped once, without a run before.
TEST(StackWalkerLazyBindingTest, EveryInstructionOfTheResolver) {
  const StepReport report = SingleStep(scenarios::LazyBinding);
  ExpectRight(report, 0);
}

int handler_runs;

void OnUser(int, siginfo_t*, void* context) {
  StepThroughHandler(*static_cast<const ucontext_t*>(context));
  handler_runs += scenarios::Varargs();
  handler_runs += scenarios::QsortCallback();
}

int RaiseUser() {
  const int before = handler_runs;
  raise(SIGUSR1);
  return handler_runs - before;
}

void HandleUser(int flags) {
  struct sigaction action = {};
  action.sa_sigaction = OnUser;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(SIGUSR1, &action, nullptr);
}

TEST(StackWalkerSignalTest, EveryInstructionOfAHandler) {
  HandleUser(0);
  const StepReport report = SingleStep(RaiseUser);
  ExpectRight(report, 0);
  EXPECT_GT(report.result, 0);
  EXPECT_GT(report.instructions, 500u) << "the handler was not stepped through";
}

TEST(StackWalkerSignalTest, EveryInstructionOfAHandlerOnTheAlternateStack) {
  static char memory[1 << 16];
  const stack_t stack = {.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof(memory)};
  ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
  const auto low = reinterpret_cast<uintptr_t>(memory);
  AssumeAlternateStack({low, low + sizeof(memory)});
  HandleUser(SA_ONSTACK);
  const StepReport report = SingleStep(RaiseUser);
  ExpectRight(report, 0);
  EXPECT_GT(report.instructions, 500u) << "the handler was not stepped through";

  // Not told of that stack, the walker must not trust it.
  AssumeAlternateStack({});
  const StepReport untold = SingleStep(RaiseUser);
  EXPECT_EQ(untold.wrong, 0u);
  EXPECT_GT(untold.incomplete, 500u);
  EXPECT_EQ(untold.first_incomplete_end, WalkEnd::kOutOfBounds);
  const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
  sigaltstack(&none, nullptr);
}

}  // namespace
}  // namespace mend
