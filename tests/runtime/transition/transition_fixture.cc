#include "tests/runtime/transition/transition_fixture.h"

#include <utility>

namespace mend::testing {
namespace {

Gate* sleepers_gate = nullptr;

}  // namespace

MEND_NATIVE(sleeper) {
  sleepers_gate->Await(/*in_blocked_region=*/argument != 0);
  return Opaque(1);
}
MEND_NATIVE(sleeper_2) {
  sleepers_gate->Await(/*in_blocked_region=*/argument != 0);
  return Opaque(2);
}

NativeFunction Sleeper() { return MEND_NATIVE_FUNCTION(sleeper); }
NativeFunction Sleeper2() { return MEND_NATIVE_FUNCTION(sleeper_2); }

void TransitionTest::SetUp() {
  CoreTest::SetUp();
  LetSleepersWaitAt(&gate_);
}

void TransitionTest::TearDown() {
  gate_.Open();
  threads_.clear();
  CoreTest::TearDown();
}

ProgramThread& TransitionTest::Spawn(std::function<void()> body) {
  threads_.push_back(std::make_unique<ProgramThread>(std::move(body)));
  return *threads_.back();
}

ProgramThread& TransitionTest::OccupySleeper() {
  ProgramThread& thread = Spawn([] { sleeper(1); });
  gate_.AwaitWaiter();
  return thread;
}

void TransitionTest::LetSleepersWaitAt(Gate* gate) { sleepers_gate = gate; }

}  // namespace mend::testing
