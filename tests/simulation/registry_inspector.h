// What the core knows, seen from outside of its lock: the invariants that hold whenever nobody is
// in a critical section of the patch registry. Looked at after each of them.
#ifndef MEND_TESTS_SIMULATION_REGISTRY_INSPECTOR_H_
#define MEND_TESTS_SIMULATION_REGISTRY_INSPECTOR_H_

#include "runtime/transition/patch_registry.h"

namespace mend::simulation {

class RegistryInspector {
 public:
  // The registry of the history that begins; null: none.
  static void Watch(PatchRegistry* registry);
  // At a point of the scheduler: looks if a critical section has ended since the last time.
  static void CheckAtPoint();
  // All patches are off, and all threads have ended.
  static void CheckNothingLeft();

 private:
  static PatchRegistry::State& state();
  static bool IsFree();
  static void CheckFunctions();
  static void CheckPatches();
  static void CheckSets();
  static void CheckStates();
  static void CheckRequest();
  static void CheckText();

  // In a critical section at the last point. (The state of a history: state_digest.cc reads it.)
  static bool was_held_;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_REGISTRY_INSPECTOR_H_
