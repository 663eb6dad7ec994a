// Every instruction of the scenarios, in their own code, libc, libgcc, the dynamic linker and the
// vdso: the walker's chain against the true one.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/transition/trampoline.h"
#include "tests/runtime/safepoint/fenced_thread.h"
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

// A load outside of the stack's bounds ends the test.
TEST_P(StackWalkerStepTest, EveryInstructionBetweenGuardPages) {
  StepReport report;
  RunOnFencedStack([&report] { report = SingleStep(GetParam().function); });
  ExpectRight(report, GetParam().incomplete_max);
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

// --- a call through an open entry, in the middle of a transition ---

// Within reach of this program's functions.
alignas(4096) uint8_t redirection_page[4096];
std::atomic<uintptr_t> redirection_slot;
int (*volatile redirected)(int, int);

[[gnu::noinline]] int OldBody(int a, int b) { return a * 1000 + b + scenarios::Leaf(); }
[[gnu::noinline]] int NewBody(int a, int b) { return a * 2000 + b + scenarios::Leaf(); }

int CallRedirected() { return redirected(3, 4) + redirected(5, 6); }

// Entry and trampoline are made by hand, as the host and the core make them.
class Redirection {
 public:
  Redirection() {
    const auto begin = reinterpret_cast<uintptr_t>(redirection_page);
    MEND_CHECK(mprotect(redirection_page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0,
               "mprotect");
    text_ = {CodeAddress{begin}, CodeAddress{begin + 4096}};
    UnwindTable::Get().AddStubRegion(text_);
    redirection_slot = begin;
    const absl::StatusOr<TrampolineBytes> trampoline =
        EncodeTrampoline(text_.begin,
                         {.old_body = CodeAddress{reinterpret_cast<uintptr_t>(&OldBody)},
                          .new_body = CodeAddress{reinterpret_cast<uintptr_t>(&NewBody)},
                          .poll_slow_path = text_.begin + 1024},
                         /*epoch=*/7);
    MEND_CHECK(trampoline.ok(), "the trampoline is out of reach");
    memcpy(redirection_page, trampoline->data(), trampoline->size());
    uint8_t* const entry = redirection_page + 512;
    const auto distance = static_cast<int32_t>(reinterpret_cast<uintptr_t>(&redirection_slot) -
                                               reinterpret_cast<uintptr_t>(entry + 6));
    memcpy(entry, "\xff\x25", 2);  // jmp *slot(%rip)
    memcpy(entry + 2, &distance, sizeof distance);
    redirected = reinterpret_cast<int (*)(int, int)>(reinterpret_cast<uintptr_t>(entry));
  }
  ~Redirection() { UnwindTable::Get().RemoveRegion(text_); }
  Redirection(const Redirection&) = delete;
  Redirection& operator=(const Redirection&) = delete;

 private:
  CodeRange text_;
};

TEST(StackWalkerTrampolineTest, EveryInstructionOfARedirectedCall) {
  const Redirection redirection;
  tls_thread_words.epoch = 6;
  StepReport report = SingleStep(CallRedirected);
  ExpectRight(report, 0);
  const int old_result = report.result;
  tls_thread_words.epoch = 7;
  report = SingleStep(CallRedirected);
  ExpectRight(report, 0);
  tls_thread_words.epoch = 0;
  EXPECT_EQ(report.result - old_result, 8000) << "one of the two ways was not taken";
}

// --- signals ---

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
