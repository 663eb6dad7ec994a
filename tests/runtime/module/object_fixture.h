// What tests of patches of modules share: functions of two modules, "mod" and "busy", in versions
// that return distinct numbers, one of the program that waits, and patches for them.
#ifndef MEND_TESTS_RUNTIME_MODULE_OBJECT_FIXTURE_H_
#define MEND_TESTS_RUNTIME_MODULE_OBJECT_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/runtime/module/module_fixture.h"
#include "tests/runtime/transition/versioned_functions.h"

// Of the program. Waits at the gate of the test that runs.
extern "C" int stay(int argument);
// Of the module "mod".
extern "C" int work(int argument);
extern "C" int twin(int argument);
// Of the module "busy"; waits at the gate.
extern "C" int toil(int argument);

namespace mend::testing {

NativeFunction Stay();
NativeFunction Stay2();
NativeFunction Work();
NativeFunction Work2();
NativeFunction Work3();
NativeFunction Twin();
NativeFunction Toil();
NativeFunction Toil2();

class ObjectTest : public ModuleTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  // As in the document's sessions: callbacks for the program, "mod" and "busy", and one function.
  std::unique_ptr<Patch> Demo(const std::string& name = "demo");
  // A patch that does not finish while a thread is in `stay`.
  std::unique_ptr<Patch> Stuck(const std::string& name = "demo", bool replace = false);
  // A thread that the test's end joins, when the gate is open.
  ProgramThread& Spawn(std::function<void()> body);
  // A thread is in `function`, which waits at the gate, until that opens.
  void Occupy(int (*function)(int) = stay);
  // What `stay`, not `stay_2`, does when the gate has opened.
  static void CallWhenStayIsLeft(std::function<void()> call);

  Gate gate_;
  std::vector<std::unique_ptr<ProgramThread>> threads_;
};

}  // namespace mend::testing

#endif  // MEND_TESTS_RUNTIME_MODULE_OBJECT_FIXTURE_H_
