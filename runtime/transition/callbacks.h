// Callbacks: runs the author's callbacks of an object, each exactly when the rules say (rules 1.4).
//
// They are hosted code and run on the thread that holds the patch registry's mutex (CB12): the
// operator's, the coordinator, or a thread of the program that loads a module. What they call of
// the core is refused, except what is meant for them (mend_get_prev_state).
//
// Thread safety: guarded by the patch registry's mutex, except InCallback.
#ifndef MEND_RUNTIME_TRANSITION_CALLBACKS_H_
#define MEND_RUNTIME_TRANSITION_CALLBACKS_H_

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "runtime/base/event_log.h"
#include "runtime/patch/patch.h"

namespace mend {

class Callbacks {
 public:
  Callbacks(EventLog* events, std::string program, std::function<void()> initialize_thread)
      : events_(events),
        program_(std::move(program)),
        initialize_thread_(std::move(initialize_thread)) {}

  // CB3, CB4. The callback's errno refuses the object; it is logged. REQUIRES of all: the object is
  // loaded.
  absl::Status PrePatch(const Patch& patch, PatchObject* object);
  void PostPatch(PatchObject* object);
  void PreUnpatch(PatchObject* object);
  // CB7: only after a PrePatch that succeeded, and once.
  void PostUnpatch(PatchObject* object);

  // The owner's functions (may be null) with the state's record. Setup's errno refuses, and is
  // logged; `patch` is for that.
  absl::Status SetUpState(const Patch& patch, const SystemState& state);
  void CallOwner(const SystemState& state, void (*function)(mend_state*));
  // Frees the shadow variables that the state owns.
  void FreeShadows(const SystemState& state);

  // Whether the calling thread is in one. Any thread may ask.
  bool InCallback() const;
  void PrepareFork() { forking_ = InCallback(); }
  // In a forked child: whether the forking thread was in one. Then it is so still.
  bool InForkedCallback();

  // How logs call an object.
  const std::string& NameOf(const PatchObject& object) const {
    return object.name.empty() ? program_ : object.name;
  }

 private:
  class Scope;

  EventLog* const events_;
  const std::string program_;
  const std::function<void()> initialize_thread_;
  // The thread that runs one now; 0: none. Written by that thread only; a thread that reads its own
  // id has written it itself, so relaxed suffices.
  std::atomic<pid_t> thread_{0};
  bool forking_ = false;  // guarded by the mutex: the thread in the callback is about to fork
};

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_CALLBACKS_H_
