// What the tests of transitions share: a function that sleeps inside its old or its new code, and
// threads that end with the test.
#ifndef MEND_TESTS_RUNTIME_TRANSITION_TRANSITION_FIXTURE_H_
#define MEND_TESTS_RUNTIME_TRANSITION_TRANSITION_FIXTURE_H_

#include <functional>
#include <memory>
#include <vector>

#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {

// Waits at the test's gate, in a blocked region unless `argument` is 0, and returns its version.
extern "C" int sleeper(int argument);

NativeFunction Sleeper();
NativeFunction Sleeper2();

class TransitionTest : public CoreTest {
 protected:
  void SetUp() override;
  // Opens the gate and joins the threads.
  void TearDown() override;

  // The thread is joined at the end of the test, when the gate is open.
  ProgramThread& Spawn(std::function<void()> body);
  // A thread that is blocked in `sleeper` when this returns, until the gate opens.
  ProgramThread& OccupySleeper();
  // `sleeper` waits there from now on, in place of at `gate_`.
  static void LetSleepersWaitAt(Gate* gate);

  Gate gate_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

}  // namespace mend::testing

#endif  // MEND_TESTS_RUNTIME_TRANSITION_TRANSITION_FIXTURE_H_
