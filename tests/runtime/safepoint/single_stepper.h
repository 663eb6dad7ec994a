// Runs a function one instruction at a time and compares, before each, what the stack walker says
// with the true chain of return addresses.
//
// The truth comes from the processor's trap flag: the SIGTRAP handler sees every instruction, and
// keeps the return address of each call (with the place where the call pushed it) until the stack
// pointer is above that place.
#ifndef MEND_TESTS_RUNTIME_SAFEPOINT_SINGLE_STEPPER_H_
#define MEND_TESTS_RUNTIME_SAFEPOINT_SINGLE_STEPPER_H_

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

#include "runtime/safepoint/stack_walker.h"

namespace mend {

struct StepReport {
  size_t instructions = 0;
  size_t right = 0;
  size_t incomplete = 0;        // the walker said that it does not know
  size_t wrong_incomplete = 0;  // of those, reported a wrong chain before giving up
  size_t wrong = 0;             // said kComplete, and the chain was not the true one
  int result = 0;
  uintptr_t first_wrong_pc = 0;
  uintptr_t first_incomplete_pc = 0;
  WalkEnd first_incomplete_end = WalkEnd::kComplete;
};

// Steps through `function`. Not reentrant; one thread at a time.
StepReport SingleStep(int (*function)());

// Called in a signal handler of the stepped function: goes on stepping in the handler.
// `context` is the handler's third argument.
void StepThroughHandler(const ucontext_t& context);

// The calling thread's stack, and the signal stack to assume for it.
StackBounds CurrentStack();
void AssumeAlternateStack(StackBounds stack);

}  // namespace mend

#endif  // MEND_TESTS_RUNTIME_SAFEPOINT_SINGLE_STEPPER_H_
