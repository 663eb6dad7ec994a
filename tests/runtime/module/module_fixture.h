// Guest modules of native functions, patches for them, and callbacks that say in the log what they
// are called for, as the demo modules of the livepatch document do.
#ifndef MEND_TESTS_RUNTIME_MODULE_MODULE_FIXTURE_H_
#define MEND_TESTS_RUNTIME_MODULE_MODULE_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/module/module_loader.h"
#include "runtime/module/module_registry.h"
#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {

// What a module of the tests is made of, and what its parts do besides saying so in the log.
struct ModuleMakings {
  std::vector<std::pair<std::string, NativeFunction>> symbols;  // in link order
  int init_result = 0;
  std::function<void()> constructor;
  std::function<void()> on_init;
  std::function<void()> on_exit;
};

class FakeModuleLoader : public ModuleLoader {
 public:
  FakeModuleLoader(FakeLoader* symbols, FakeCodeHost* host, EventLog* events)
      : symbols_(symbols), host_(host), events_(events) {}

  absl::StatusOr<std::unique_ptr<GuestModule>> Link(const std::string& name,
                                                    const ModuleSource& source) override;

  std::map<std::string, ModuleMakings> makings;  // by the module's name
  int live = 0;                                  // modules that are linked
  int number = 0;                                // every module has it as its parameter `number`

 private:
  friend class FakeModule;
  FakeLoader* const symbols_;
  FakeCodeHost* const host_;
  EventLog* const events_;
};

// Where callbacks write, and what pre_patch returns: by the name of the object ("" is the program).
struct CallbackWorld {
  EventLog* events = nullptr;
  std::map<std::string, int> pre_patch_results;
  // Run inside of each callback of that kind ("pre_patch").
  std::map<std::string, std::function<void()>> hooks;
};
CallbackWorld& TheCallbackWorld();

// Callbacks of a patch that logs under the name `demo` or, for another patch, `other`.
ObjectCallbacks DemoCallbacks();
ObjectCallbacks OtherCallbacks();

class ModuleTest : public CoreTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  ModuleRegistry& modules();
  absl::Status LoadModule(const std::string& name, const ParameterValues& parameters = {}) {
    return modules().Load(name, {.path = name, .bytes = ""}, parameters).status();
  }

  struct ModulePatch {
    std::string object;
    std::string old_name;
    NativeFunction new_function;
    unsigned sympos = 0;
  };
  // A patch of the program (may be empty) with callbacks, and of modules. Objects in that order.
  std::unique_ptr<Patch> MakeObjectPatch(const std::string& name,
                                         const std::vector<Replacement>& program,
                                         const std::vector<ModulePatch>& modules,
                                         const ObjectCallbacks& callbacks, bool replace = false);

  FakeModuleLoader module_loader_{&loader_, &host_, &events_};

 private:
  std::unique_ptr<ModuleRegistry> modules_;
};

}  // namespace mend::testing

#endif  // MEND_TESTS_RUNTIME_MODULE_MODULE_FIXTURE_H_
