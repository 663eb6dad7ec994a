// An explicit patch of the tortured program and of its guest module, with callbacks for each;
// AGREE_VERSION is its number. Every eighth time it refuses the module, or is refused by it.
#include <errno.h>
#include <mend/livepatch.h>

#include "agree.h"

namespace {

int ExplicitLeft() { return AGREE_VERSION; }
int ExplicitRight() { return AGREE_VERSION; }
void ExplicitChangingUnit() {
  const Unit unit = {AGREE_VERSION, forces.load()};
  Agree(unit, Left(), "ExplicitChangingUnit");
  EndUnit(unit, "ExplicitChangingUnit");
}

int PrePatch(mend_object*) {
  HeldCallback();
  return 0;
}
int PrePatchPlugin(mend_object*) {
  HeldCallback();
  static std::atomic<unsigned> turn{0};
  return turn.fetch_add(1) % 8 == 7 ? -EBUSY : 0;
}
void Callback(mend_object*) { HeldCallback(); }

const mend_func program_functions[] = {
    MEND_FUNC("_Z4Leftv", ExplicitLeft), MEND_FUNC("_Z5Rightv", ExplicitRight),
    MEND_FUNC("_Z12ChangingUnitv", ExplicitChangingUnit), MEND_FUNCS_END};
const mend_func plugin_functions[] = {MEND_FUNC("PluginLeft", ExplicitLeft),
                                      MEND_FUNC("PluginRight", ExplicitRight), MEND_FUNCS_END};
const mend_object_desc objects[] = {
    MEND_OBJECT(nullptr, program_functions, PrePatch, Callback, Callback, Callback),
    MEND_OBJECT("agree_plugin", plugin_functions, PrePatchPlugin, Callback, Callback, Callback),
    MEND_OBJECTS_END};
mend_patch patch = {objects, nullptr, true};

}  // namespace

MEND_LIVEPATCH(patch);
