// Transition: one patch on its way in or out, for all threads of the process (rules 1.2, 1.5).
//
//   Init       marks the functions, puts them on (patching) or prepares to take them off
//              (unpatching) their func_stacks, trampolines into the slots, entries opened
//   Start      publishes the request: threads begin to switch
//   Reverse    flips the target, as often as wanted, until Complete
//   Cancel     between Init and Start only: takes everything back
//   Complete   all threads have switched: func_stacks and slots get their final state, entries that
//              nobody needs are closed
//
// Who drives it: PatchRegistry, which holds its mutex around every call.
#ifndef MEND_RUNTIME_TRANSITION_TRANSITION_H_
#define MEND_RUNTIME_TRANSITION_TRANSITION_H_

#include <cstdint>
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

namespace mend {

// What a transition leaves behind, until every thread was seen outside of it.
struct Retired {
  std::vector<std::unique_ptr<SwitchRequest>> requests;
  std::unique_ptr<SwitchTally> tally;
  CodeRange trampolines;
};

class Transition {
 public:
  struct Environment {
    CodeHost* host;
    EventLog* events;
    RedirectionTable* table;
    std::string program_name;  // how logs call the program's own object
  };

  // `replaced`: the patches that go when this one has come (atomic replace); empty if unpatching.
  // `retired_trampolines`: of earlier transitions, in which threads may still stand; sorted.
  Transition(const Environment& environment, Patch* patch, bool patching,
             std::vector<Patch*> replaced, std::vector<CodeRange> retired_trampolines);

  // On failure the caller must Cancel.
  absl::Status Init();
  void Start();
  void Reverse();
  // `reason` is logged by the caller.
  void Cancel();
  void Complete();
  // Logs the end. The trampolines may still be in use.
  void Finish();
  // Hands over what threads may still use. The transition is of no use afterwards.
  Retired TakeRetired();

  Patch* patch() const { return patch_; }
  const std::vector<Patch*>& replaced() const { return replaced_; }
  // The direction of Init.
  bool patching() const { return patching_; }
  bool reversed() const { return reversed_; }
  // Whether the patch is in when the transition ends as it is going now.
  bool target_patched() const { return patching_ == to_new_; }
  const SwitchRequest& request() const { return *requests_.back(); }
  bool published() const { return !requests_.empty(); }
  uint32_t epoch() const { return epoch_; }
  const SwitchTally& tally() const { return *tally_; }

 private:
  // One function whose slot changes, or (both bodies the same) whose entry only polls: a held one.
  struct Move {
    Redirection* redirection;
    CodeAddress old_body;
    CodeAddress new_body;
  };

  void PutOnStacks();
  void PlanRemoval();
  void PlanMove(const PatchFunction& function, const PatchFunction* from, const PatchFunction* to);
  void ForbidHeld();
  void PlanPoll(const FunctionSite& held);
  absl::Status BuildTrampolines();
  absl::Status OpenEntries();
  void SettleSlots();
  void CloseEntries();
  void TakeOffStacks(Patch* patch);
  void RemoveNops();
  void SetFlags(bool transition);
  void Publish();
  void Log(const char* kind, const std::string& text);
  const char* Gerund() const { return target_patched() ? "patching" : "unpatching"; }

  const Environment environment_;
  Patch* const patch_;
  const bool patching_;
  const std::vector<Patch*> replaced_;
  const std::vector<CodeRange> retired_trampolines_;
  const uint32_t epoch_;

  bool to_new_ = true;
  bool reversed_ = false;
  std::vector<Move> moves_;
  // What may be on no stack when a thread switches to new, and when it comes back.
  std::vector<CodeRange> forbidden_to_new_;
  std::vector<CodeRange> forbidden_to_old_;
  CodeRange trampolines_;
  std::vector<std::unique_ptr<SwitchRequest>> requests_;  // all that were published; last: current
  std::unique_ptr<SwitchTally> tally_ = std::make_unique<SwitchTally>();
};

// Sorts the ranges and joins those that overlap or touch.
void NormalizeRanges(std::vector<CodeRange>* ranges);

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_TRANSITION_H_
