// The fiber that operates the process, and the history's main one: it starts threads, asks the core
// for one thing after the other, and looks at the end whether anything is left.
#ifndef MEND_TESTS_SIMULATION_OPERATOR_H_
#define MEND_TESTS_SIMULATION_OPERATOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/transition/patch_registry.h"
#include "tests/simulation/hosted_model.h"

namespace mend::simulation {

class Operator {
 public:
  explicit Operator(World* world) : world_(*world) {}

  // A whole history.
  void RunRandomly();
  // Some threads; one patch or two, the second of which replaces the first; all off again.
  void RunSmallBound(int threads, int patches);
  // In a forked child: goes on with what there is.
  void RunInChild();

  uint64_t transitions() const { return transitions_; }

 private:
  uint32_t Choose(uint32_t n);
  void Require(const absl::Status& status, const char* what);
  void Sleep(absl::Duration time);
  absl::Status Wait(bool or_held);
  void AwaitTransition();
  // Until it is held.
  void AwaitCanary();

  void Begin();
  void StartThread(Announcement announcement);
  void StartSomeThreads();
  void RunOperations(uint32_t count);
  void RunOperation();
  void Enable();
  void ChooseSetAndStates(PatchPlan* plan);
  // Whether patches that are active keep it out: another set's, or one of its own set with a state
  // that it does not take over.
  bool IsKeptOut(const PatchPlan& plan) const;
  CanarySpec SomeCanary();
  void Examine();
  void Revert();
  void Force();
  void ArmSomeFailpoint();
  std::string SomePatch();

  // Outside of a transition all agree on what runs.
  void CheckSettled();
  void CheckOnTop(const CoreStatus& status, Function function);
  void CheckCanary();
  void DisableAll();
  // Everything off again; then nothing may be left.
  void End();
  // What was enabled or reversed also completed, one after the other.
  void CheckEvents();

  // What was so far is over for good, for whoever asks what may still come.
  void NextPhase();

  World& world_;
  uint64_t transitions_ = 0;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_OPERATOR_H_
