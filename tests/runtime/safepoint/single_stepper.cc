#include "tests/runtime/safepoint/single_stepper.h"

#include <pthread.h>
#include <signal.h>

#include "runtime/base/check.h"

namespace mend {
namespace {

constexpr size_t kDepthMax = 4096;
constexpr long kTrapFlag = 0x100;

// A return address that must be reported as long as `slot` is on the stack.
struct Expected {
  uintptr_t slot;
  uintptr_t address;
};

struct Stepper {
  StepReport report;
  WalkOptions options;
  uintptr_t entry = 0;  // recording starts when this is called
  bool recording = false;
  uintptr_t paused_up_to = 0;  // nothing is recorded while rsp is not above this; 0: no pause
  uintptr_t previous_pc = 0;   // 0: unknown
  Expected expected[kDepthMax];
  size_t depth = 0;
  // The frames of one walk, compared as they come.
  size_t seen = 0;
  bool mismatch = false;
};

Stepper stepper;

bool OnAlternate(uintptr_t address) {
  return address >= stepper.options.alternate_stack.low &&
         address < stepper.options.alternate_stack.high;
}

uintptr_t ReadWord(uintptr_t address) { return *reinterpret_cast<const uintptr_t*>(address); }

// Whether the instruction at `pc` is a near call.
bool IsCall(uintptr_t pc) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(pc);
  while (*bytes == 0x3e || *bytes == 0xf2 || *bytes == 0x66 || (*bytes & 0xf0) == 0x40) ++bytes;
  if (*bytes == 0xe8) return true;
  return bytes[0] == 0xff && (bytes[1] & 0x38) == 0x10;
}

void Push(uintptr_t slot, uintptr_t address) {
  MEND_CHECK(stepper.depth < kDepthMax, "the stepped function recurses too deeply");
  stepper.expected[stepper.depth++] = {slot, address};
}

void PopReturned(uintptr_t rsp) {
  while (stepper.depth > 0) {
    const Expected& top = stepper.expected[stepper.depth - 1];
    const bool left_alternate = OnAlternate(top.slot) && !OnAlternate(rsp);
    const bool same_stack = OnAlternate(top.slot) == OnAlternate(rsp);
    if (!left_alternate && !(same_stack && top.slot < rsp)) return;
    --stepper.depth;
  }
}

bool CompareFrame(const WalkFrame& frame, void* argument) noexcept [[clang::nonblocking]] {
  auto& s = *static_cast<Stepper*>(argument);
  if (s.seen > 0) {
    const bool match = s.seen <= s.depth && s.expected[s.depth - s.seen].address == frame.pc.value;
    if (!match) s.mismatch = true;
  }
  ++s.seen;
  return true;
}

void CompareWalk(const RegisterContext& from) {
  stepper.seen = 0;
  stepper.mismatch = false;
  const WalkResult result = WalkStack(from, stepper.options, CompareFrame, &stepper);
  StepReport& report = stepper.report;
  ++report.instructions;
  if (result.end != WalkEnd::kComplete) {
    ++report.incomplete;
    if (stepper.mismatch) ++report.wrong_incomplete;
    if (report.first_incomplete_pc == 0) {
      report.first_incomplete_pc = from.rip;
      report.first_incomplete_end = result.end;
    }
  } else if (stepper.mismatch || stepper.seen != stepper.depth + 1) {
    ++report.wrong;
    if (report.first_wrong_pc == 0) report.first_wrong_pc = from.rip;
  } else {
    ++report.right;
  }
}

void OnTrap(int, siginfo_t*, void* context_argument) {
  auto& context = *static_cast<ucontext_t*>(context_argument);
  const RegisterContext from = InterruptedContext(context);
  if (stepper.paused_up_to != 0) {
    if (from.rsp <= stepper.paused_up_to) return;
    stepper.paused_up_to = 0;
  }
  if (!stepper.recording) {
    if (from.rip != stepper.entry) return;
    stepper.recording = true;
    Push(from.rsp, ReadWord(from.rsp));
  } else {
    PopReturned(from.rsp);
    if (stepper.previous_pc != 0 && IsCall(stepper.previous_pc)) {
      Push(from.rsp, ReadWord(from.rsp));
    }
  }
  if (stepper.depth == 0) {  // the function has returned
    stepper.recording = false;
    context.uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
    return;
  }
  CompareWalk(from);
  stepper.previous_pc = from.rip;
}

// Sets the trap flag; the caller is stepped from its next instruction on.
[[gnu::noinline]] void StartTrapping() {
  __asm__ volatile(
      "pushfq\n\t"
      "orq $0x100, (%%rsp)\n\t"
      "popfq\n\t" ::
          : "cc", "memory");
}

}  // namespace

StackBounds CurrentStack() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  MEND_CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0, "no attributes of this thread");
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size};
}

void AssumeAlternateStack(StackBounds stack) { stepper.options.alternate_stack = stack; }

StepReport SingleStep(int (*function)()) {
  struct sigaction action = {};
  struct sigaction old_action;
  action.sa_sigaction = OnTrap;
  action.sa_flags = SA_SIGINFO;
  // A signal that the stepped code raises must interrupt that code, not the SIGTRAP handler.
  sigfillset(&action.sa_mask);
  sigaction(SIGTRAP, &action, &old_action);
  stepper.report = StepReport();
  stepper.depth = 0;
  stepper.previous_pc = 0;
  stepper.entry = reinterpret_cast<uintptr_t>(function);
  stepper.options.stack = CurrentStack();
  // Where every walk has to end: this function's own frame.
  stepper.options.base_cfa = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) + 16;
  StartTrapping();
  const int result = function();
  stepper.report.result = result;
  sigaction(SIGTRAP, &old_action, nullptr);
  return stepper.report;
}

void StepThroughHandler(const ucontext_t& context) {
  // The kernel pushed the address of the restorer right below the context; the interrupted
  // instruction is the frame above it, alive until rsp is back where it was.
  const uintptr_t restorer_slot = reinterpret_cast<uintptr_t>(&context) - sizeof(uintptr_t);
  const RegisterContext interrupted = InterruptedContext(context);
  Push(interrupted.rsp - 1, interrupted.rip);
  Push(restorer_slot, ReadWord(restorer_slot));
  // This function and the one that sets the flag are no part of what is checked.
  stepper.paused_up_to = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) + 8;
  stepper.previous_pc = 0;
  StartTrapping();
}

}  // namespace mend
