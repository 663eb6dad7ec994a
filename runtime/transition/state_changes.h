// The states that a transition brings or takes, and what comes and goes with them (StateOwner).
//
//                    the transition begins   it ends as it began   it ends turned round, or
//                    cancelled
//   appearing state  setup                   enable                release
//   vanishing state  disable                 release               enable
//
// A state that is there before and after is handed over: nothing of this runs for it. If its new
// record has an owner, it takes the older one's `data` at the beginning, and has its own back when
// the transition ends turned round. Releasing frees the shadow variables that the state owns.
//
// setup comes before the objects' callbacks, and so does disable; enable and release come after
// them. Vanishing states are those of the newest patch that has them.
//
// Thread safety: none; guarded by the patch registry's mutex.
#ifndef MEND_RUNTIME_TRANSITION_STATE_CHANGES_H_
#define MEND_RUNTIME_TRANSITION_STATE_CHANGES_H_

#include <vector>

#include "absl/status/status.h"
#include "runtime/patch/patch.h"
#include "runtime/transition/callbacks.h"

namespace mend {

class StateChanges {
 public:
  // From the active patches `before` to those `after`, both in load order.
  StateChanges(Callbacks* callbacks, const std::vector<Patch*>& before,
               const std::vector<Patch*>& after);

  // Setups, then disables. A setup's error: nothing has come about, and End does nothing.
  absl::Status Begin();
  // Once, after the objects' callbacks, if Begin has succeeded.
  void End(bool as_begun);

 private:
  struct Change {
    const Patch* patch;
    const SystemState* state;
  };

  // A record that takes another's data. Once it has, `data` is its own from before.
  struct HandOver {
    mend_state* record;
    void* data;
  };

  Callbacks* callbacks_;
  std::vector<Change> appearing_;
  std::vector<Change> vanishing_;
  std::vector<HandOver> handed_over_;
  bool begun_ = false;
};

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_STATE_CHANGES_H_
