#include "tests/simulation/model_callbacks.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>

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

template <typename AnyState>
void Enter(const char* name, AnyState state, bool legal) {
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

using Phase = OwnedState::Phase;

OwnedState& EnterOwner(const char* name, const mend_state* record,
                       std::initializer_list<Phase> legal) {
  OwnedState& state = CurrentWorld()->owned_states[record->id];
  Enter(name, state.phase, std::find(legal.begin(), legal.end(), state.phase) != legal.end());
  return state;
}

void RequireData(const OwnedState& state, const mend_state* record) {
  if (reinterpret_cast<uintptr_t>(record->data) == state.data) return;
  Now().Violation("the record of state %lu is without the data that was set up", record->id);
}

int SetUp(mend_state* record) {
  OwnedState& state = EnterOwner("setup", record, {Phase::kAbsent});
  if (Now().chooser()->Choose(6) == 5) return -EBUSY;
  static uintptr_t last = 0;
  state = {.phase = Phase::kComing, .data = ++last};
  record->data = reinterpret_cast<void*>(state.data);
  return 0;
}

void EnableState(mend_state* record) {
  OwnedState& state = EnterOwner("enable", record, {Phase::kComing, Phase::kLeaving});
  RequireData(state, record);
  state.phase = Phase::kThere;
}

void DisableState(mend_state* record) {
  OwnedState& state = EnterOwner("disable", record, {Phase::kThere});
  RequireData(state, record);
  state.phase = Phase::kLeaving;
}

void Release(mend_state* record) {
  OwnedState& state = EnterOwner("release", record, {Phase::kComing, Phase::kLeaving});
  RequireData(state, record);
  state = {};
}

}  // namespace

StateOwner OwnerOf(unsigned long id) {
  if (id == kPlain) return {};
  return {.setup = SetUp, .enable = EnableState, .disable = DisableState, .release = Release};
}

ObjectCallbacks CallbacksOf(int version) {
  static constexpr auto kSets = AllSets(std::make_integer_sequence<int, kCallbackSets>{});
  if (version >= kCallbackSets) Now().Violation("the simulation has no callbacks left");
  return kSets[static_cast<size_t>(version)];
}

}  // namespace mend::simulation
