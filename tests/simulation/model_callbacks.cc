#include "tests/simulation/model_callbacks.h"

#include <array>
#include <cerrno>
#include <utility>

#include "runtime/transition/patch_registry.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/process.h"
#include "tests/simulation/scheduler.h"

namespace mend::simulation {
namespace {

using State = CallbackStates::State;

Scheduler& Now() { return *Scheduler::Current(); }

State& StateOf(int set, const mend_object* object) {
  return CurrentWorld()->callbacks.of[set][object->name.empty() ? 0 : 1];
}

void Enter(const char* name, State state, bool legal) {
  if (!legal) Now().Violation("%s is called in state %d", name, static_cast<int>(state));
  World& world = *CurrentWorld();
  if (!world.registry->InCallback()) Now().Violation("a callback runs, and the core does not know");
  Now().Point();
  if (world.registry->Disable("p0").code() == absl::StatusCode::kOk) {
    Now().Violation("a callback may call the core");
  }
  if (world.behaviour.forks_left > 0 && Now().chooser()->Choose(20) == 19) ForkProcess();
  Now().Point();
}

template <int set>
struct Callbacks {
  static int PrePatch(mend_object* object) {
    State& state = StateOf(set, object);
    Enter("pre_patch", state, state == State::kOff || state == State::kOn);
    // Leaves nothing behind: a replaced patch stays as it was.
    if (Now().chooser()->Choose(6) == 5) return -EBUSY;
    state = State::kPrepared;
    return 0;
  }
  static void PostPatch(mend_object* object) {
    State& state = StateOf(set, object);
    Enter("post_patch", state, state == State::kPrepared || state == State::kLeaving);
    state = State::kOn;
  }
  static void PreUnpatch(mend_object* object) {
    State& state = StateOf(set, object);
    Enter("pre_unpatch", state, state == State::kOn);
    state = State::kLeaving;
  }
  static void PostUnpatch(mend_object* object) {
    State& state = StateOf(set, object);
    Enter("post_unpatch", state, state == State::kPrepared || state == State::kLeaving);
    state = State::kOff;
  }
};

template <int... sets>
constexpr std::array<ObjectCallbacks, sizeof...(sets)> AllSets(
    std::integer_sequence<int, sets...>) {
  return {ObjectCallbacks{&Callbacks<sets>::PrePatch, &Callbacks<sets>::PostPatch,
                          &Callbacks<sets>::PreUnpatch, &Callbacks<sets>::PostUnpatch}...};
}

}  // namespace

ObjectCallbacks CallbacksOf(int version) {
  static constexpr auto kSets = AllSets(std::make_integer_sequence<int, kCallbackSets>{});
  if (version >= kCallbackSets) Now().Violation("the simulation has no callbacks left");
  return kSets[static_cast<size_t>(version)];
}

}  // namespace mend::simulation
