// What hosted code and its C library call of the core, in a file of its own that is instrumented as
// the core is: their inline parts have points too.
#ifndef MEND_TESTS_SIMULATION_GUEST_CALLS_H_
#define MEND_TESTS_SIMULATION_GUEST_CALLS_H_

#include <cstdint>
#include <functional>

#include "runtime/safepoint/stack_walker.h"

namespace mend::simulation {

// Sleeps in a blocked region.
void BlockedSleep(int64_t ns);
// Runs `call` as dlopen and dlclose run the registry of modules.
void RunInDynamicLoader(const std::function<void()>& call);

// Runs `handler` as guest_libc runs a program's signal handler.
void RunProgramHandler(const std::function<void()>& handler);
// What guest_libc does for makecontext, and around a switch of stacks. `mark`: where the context
// that is left says so; null: it is over. False: the core knows of no such context.
void MakeContext(StackBounds stack);
bool DepartForContext(uintptr_t rsp, uintptr_t* mark);
void ArriveInContext();
// The calling thread's words.
bool PollIsSet();
uint32_t CallersEpoch();
// Makes the process' singletons anew, for a new history.
void ResetCore();

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_GUEST_CALLS_H_
