// Transition: one patch on its way in or out, for all threads of the process (rules 1.2, 1.5).
//
//   Init       marks the functions; then for each loaded object in turn: pre_patch, its functions
//   on
//              their func_stacks, trampolines into the slots, entries opened. Unpatching:
//              trampolines into the slots, then pre_unpatch for each object
//   Start      publishes the request: threads begin to switch
//   Reverse    flips the target, as often as wanted, until Complete
//   Cancel     between Init and Start only: takes everything back
//   Complete   all threads have switched: func_stacks and slots get their final state, entries that
//              nobody needs are closed
//   Finish     the grace period is over: post_patch or post_unpatch for each loaded object
//
// Objects may come and go between Start and Complete (HookObject, ForgetObject).
//
// Who drives it: PatchRegistry, which holds its mutex around every call.
#ifndef MEND_RUNTIME_TRANSITION_TRANSITION_H_
#define MEND_RUNTIME_TRANSITION_TRANSITION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/base/code_address.h"
#include "runtime/base/event_log.h"
#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"
#include "runtime/patch/redirection_table.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/transition/callbacks.h"
#include "runtime/transition/state_changes.h"

namespace mend {

// What a transition leaves behind, until every thread was seen outside of it.
struct Retired {
  std::vector<std::unique_ptr<SwitchRequest>> requests;
  std::unique_ptr<SwitchTally> tally;
  std::vector<CodeRange> trampolines;
};

// By module.
using ModuleUnits = std::map<std::string, std::vector<FunctionSite>>;

class Transition {
 public:
  struct Environment {
    CodeHost* host;
    EventLog* events;
    RedirectionTable* table;
    Callbacks* callbacks;
    // Held by every patch: the MEND_UNIT functions of the guest modules that are there.
    const ModuleUnits* units;
  };

  // `others`: patching: those that go when this one has come (atomic replace). Unpatching: those
  // that come back when this one has gone (revert), for each of whose functions the patch has one,
  // if only a nop. `retired_trampolines`: of earlier transitions, in which threads may still stand;
  // sorted.
  Transition(const Environment& environment, Patch* patch, bool patching,
             std::vector<Patch*> others, std::vector<CodeRange> retired_trampolines,
             StateChanges states);

  // On failure the caller must Cancel.
  absl::Status Init();
  // `canary`: only the threads whose records are marked with the epoch are asked, until Promote.
  void Start(bool canary);
  void Promote();
  // All threads go back, whichever were asked.
  void Reverse();
  // `reason` is logged by the caller.
  void Cancel();
  void Complete();
  // Runs the post callbacks and logs the end. The trampolines may still be in use.
  void Finish();

  // An object of the patch has come in mid-transition: hooks it, so that each thread sees the
  // version that it is on (O4). Nothing of the object runs yet. A failure leaves it unhooked.
  // Publish is to follow, before anything of it runs.
  absl::Status HookObject(PatchObject* object);
  // An object goes, whose functions are off their func_stacks. Publish is to follow.
  void ForgetObject(const mend_object* object);
  // Asks all threads anew, those too that have nothing to change: what there is to check has
  // changed, or another request took this one's place. REQUIRES: started.
  void Publish();
  // Hands over what threads may still use. The transition is of no use afterwards.
  Retired TakeRetired();

  Patch* patch() const { return patch_; }
  // The constructor's.
  const std::vector<Patch*>& others() const { return others_; }
  // The direction of Init.
  bool patching() const { return patching_; }
  bool reversed() const { return reversed_; }
  bool canary() const { return canary_; }
  // Whether the patch is in when the transition ends as it is going now.
  bool target_patched() const { return patching_ == to_new_; }
  const SwitchRequest& request() const { return *requests_.back(); }
  bool published() const { return !requests_.empty(); }
  uint32_t epoch() const { return epoch_; }
  const std::vector<CodeRange>& trampolines() const { return trampolines_; }
  const SwitchTally& tally() const { return *tally_; }

 private:
  // One function whose slot changes, or (both bodies the same) whose entry only polls: a held one.
  struct Move {
    Redirection* redirection;
    const mend_object* object;  // that the function is in; null: a held one
    CodeAddress old_body;
    CodeAddress new_body;
    CodeRange old_text;  // empty: nothing is forbidden on its account
    CodeRange new_text;
    CodeAddress trampoline;
  };

  void PlanObject(const PatchObject& object);
  void PlanMove(const PatchFunction& function, const mend_object* object, const PatchFunction* from,
                const PatchFunction* to);
  std::vector<const FunctionSite*> HeldFunctions() const;
  void PlanPoll(const FunctionSite& held);
  absl::Status BuildTrampolines(size_t first_move);
  absl::Status WriteTrampolines(size_t first_move, CodeAddress poll_slow_path);
  // Trampolines into the slots of the object's moves (null: the held functions'), entries opened. A
  // failure may leave slots that lead to trampolines.
  absl::Status RedirectObject(const mend_object* object);
  absl::Status PatchLoadedObjects();
  absl::Status PatchLoadedObject(PatchObject* object);
  // Puts those that come back below the patch, and the patch's nops on top of them.
  void PushRestored();
  void RunPreUnpatch();
  void ForbidMoves(std::vector<CodeRange>* forbidden) const;
  void ForbidHeld(std::vector<CodeRange>* forbidden) const;
  void SettleSlots();
  void TakeOffStacks(Patch* patch);
  void RemoveNops();
  void SetFlags(bool transition);
  std::vector<Redirection*> MovedRedirections() const;
  void Log(const char* kind, const std::string& text);
  const char* Gerund() const { return target_patched() ? "patching" : "unpatching"; }

  const Environment environment_;
  Patch* const patch_;
  const bool patching_;
  const std::vector<Patch*> others_;
  const std::vector<CodeRange> retired_trampolines_;
  const uint32_t epoch_;

  bool to_new_ = true;
  bool reversed_ = false;
  bool canary_ = false;
  StateChanges states_;
  bool cancelled_ = false;
  std::vector<Move> moves_;
  std::vector<CodeRange> trampolines_;
  std::vector<std::unique_ptr<SwitchRequest>> requests_;  // all that were published; last: current
  std::unique_ptr<SwitchTally> tally_ = std::make_unique<SwitchTally>();
};

// Sorts the ranges and joins those that overlap or touch.
void NormalizeRanges(std::vector<CodeRange>* ranges);

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_TRANSITION_H_
