#include "tests/runtime/module/object_fixture.h"

#include <utility>

namespace mend::testing {
namespace {

Gate* gate = nullptr;
std::function<void()> call_when_stay_is_left;

}  // namespace

MEND_NATIVE(stay) {
  gate->Await(true);
  if (call_when_stay_is_left) call_when_stay_is_left();
  return Opaque(argument + 1);
}
MEND_NATIVE(stay_2) {
  gate->Await(true);
  return Opaque(argument + 2);
}
MEND_NATIVE(work) { return Opaque(argument + 100); }
MEND_NATIVE(work_2) { return Opaque(argument + 200); }
MEND_NATIVE(work_3) { return Opaque(argument + 300); }
MEND_NATIVE(twin) { return Opaque(argument + 50); }
MEND_NATIVE(toil) {
  gate->Await(true);
  return Opaque(argument + 7);
}
MEND_NATIVE(toil_2) { return Opaque(argument + 8); }

NativeFunction Stay() { return MEND_NATIVE_FUNCTION(stay); }
NativeFunction Stay2() { return MEND_NATIVE_FUNCTION(stay_2); }
NativeFunction Work() { return MEND_NATIVE_FUNCTION(work); }
NativeFunction Work2() { return MEND_NATIVE_FUNCTION(work_2); }
NativeFunction Work3() { return MEND_NATIVE_FUNCTION(work_3); }
NativeFunction Twin() { return MEND_NATIVE_FUNCTION(twin); }
NativeFunction Toil() { return MEND_NATIVE_FUNCTION(toil); }
NativeFunction Toil2() { return MEND_NATIVE_FUNCTION(toil_2); }

void ObjectTest::SetUp() {
  ModuleTest::SetUp();
  gate = &gate_;
  CallWhenStayIsLeft(nullptr);
  module_loader_.makings["mod"].symbols = {{"work", Work()}};
  module_loader_.makings["busy"].symbols = {{"toil", Toil()}};
}

void ObjectTest::TearDown() {
  gate_.Open();
  threads_.clear();
  ModuleTest::TearDown();
}

std::unique_ptr<Patch> ObjectTest::Demo(const std::string& name) {
  return MakeObjectPatch(name, {}, {{"mod", "work", Work2()}, {"busy", "toil", Toil2()}},
                         DemoCallbacks());
}

std::unique_ptr<Patch> ObjectTest::Stuck(const std::string& name, bool replace) {
  return MakeObjectPatch(name, {{Stay(), Stay2()}}, {{"mod", "work", Work2()}}, DemoCallbacks(),
                         replace);
}

ProgramThread& ObjectTest::Spawn(std::function<void()> body) {
  threads_.push_back(std::make_unique<ProgramThread>(std::move(body)));
  return *threads_.back();
}

void ObjectTest::Occupy(int (*function)(int)) {
  Spawn([function] { function(0); });
  gate_.AwaitWaiter();
}

void ObjectTest::CallWhenStayIsLeft(std::function<void()> call) {
  call_when_stay_is_left = std::move(call);
}

}  // namespace mend::testing
