// A patch registry and a loader for tests of what stands on them. The registry is the real class
// with other insides: fake_core.cc defines PatchRegistry's methods, and the linker then takes
// nothing from the real one. Transitions complete at once, unless threads are told to be stuck.
#ifndef MEND_TESTS_RUNTIME_CONTROL_FAKE_CORE_H_
#define MEND_TESTS_RUNTIME_CONTROL_FAKE_CORE_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/module/module_loader.h"
#include "runtime/patch/patch.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

// While one exists, transitions towards "patched" (or towards both sides) do not complete, and one
// thread is reported to hold them up.
class StuckThreads {
 public:
  explicit StuckThreads(bool both_ways = false);
  ~StuckThreads();
};

// How often anybody asked for a reversal or for force, in vain or not, in all the process.
int TurningCalls();

std::unique_ptr<PatchRegistry> MakeFakeRegistry(EventLog* events);

// Links nothing; the functions of the patch are those of the module. Functions called "missing" are
// refused.
class FakeLoader : public PatchLoader {
 public:
  absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule& module) override;
  absl::StatusOr<FunctionSite> FindFunction(const std::string& name) const override;
  std::string Describe(CodeAddress pc) const override;

  int loads = 0;
  std::string parameter;  // every patch has it, if it has a name
  int parameter_value = 0;
};

// Guest modules of nothing but a parameter, `verbose`.
class FakeModuleLoader : public ModuleLoader {
 public:
  absl::StatusOr<std::unique_ptr<GuestModule>> Link(const std::string& name,
                                                    const ModuleSource& source) override;
};

// The bytes of a module that replaces `functions`. `revision` makes contents differ.
std::string MakeModule(const std::string& name, const std::vector<std::string>& functions,
                       const std::string& revision = "", bool replace = true);

}  // namespace mend

#endif  // MEND_TESTS_RUNTIME_CONTROL_FAKE_CORE_H_
