// The simulated process: its fork.
#ifndef MEND_TESTS_SIMULATION_PROCESS_H_
#define MEND_TESTS_SIMULATION_PROCESS_H_

#include <cstdint>
#include <functional>

namespace mend::simulation {

// The program forks, on the calling fiber, with the core's handlers around it as mend/host.cc has
// them. The child is a real process: it has the calling fiber only, and one more that operates it;
// it runs its own history to the end, and a violation in it is one of the parent's. Nothing happens
// while another fiber is at the module.
void ForkProcess();

// In a child: how many points had been passed when it began.
uint64_t PointsBeforeFork();

// What operates a child; set once for a history, by whoever knows.
void SetChildOperator(std::function<void()> body);

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_PROCESS_H_
