// The callbacks of the simulated patches: each checks that it is called when it may be (rules 1.4),
// and pre_patch refuses now and then.
//
//   state        next
//   kOff         pre_patch: kPrepared, or kOff when it refuses
//   kPrepared    post_patch: kOn; post_unpatch: kOff (the transition was reversed, or cancelled)
//   kOn          pre_unpatch: kLeaving; pre_patch: kPrepared (it was replaced, which calls nothing)
//   kLeaving     post_unpatch: kOff; post_patch: kOn (the transition was reversed)
#ifndef MEND_TESTS_SIMULATION_MODEL_CALLBACKS_H_
#define MEND_TESTS_SIMULATION_MODEL_CALLBACKS_H_

#include <cstdint>

#include "runtime/patch/patch.h"

namespace mend::simulation {

// The states of patches. kPlain belongs to nobody, and no cumulative patch may lack it. What the
// others own checks, too, when it is called, and that it finds what setup left in the record,
// whichever patch's record that is by then. setup refuses now and then.
//
//   state       next
//   kAbsent     setup: kComing, or kAbsent when it refuses
//   kComing     enable: kThere; release: kAbsent (the transition was reversed, or cancelled)
//   kThere      disable: kLeaving
//   kLeaving    release: kAbsent; enable: kThere (the transition was reversed)
enum StateId : unsigned long { kOwned = 1, kPlain, kProbes, kStateIds };

StateOwner OwnerOf(unsigned long id);

struct OwnedState {
  enum class Phase : unsigned char { kAbsent, kComing, kThere, kLeaving };
  Phase phase = Phase::kAbsent;
  uintptr_t data = 0;  // what setup left
};

// Callbacks get no argument that tells the patch, so there is a set of functions for each of so
// many.
inline constexpr int kCallbackSets = 16;

ObjectCallbacks CallbacksOf(int version);

// What has been called, for each set, for the program and for the module.
struct CallbackStates {
  enum class State : unsigned char { kOff, kPrepared, kOn, kLeaving };
  State of[kCallbackSets][2] = {};
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_MODEL_CALLBACKS_H_
