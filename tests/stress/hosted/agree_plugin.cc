// A guest module of the tortured program. An explicit patch replaces functions of both, so within
// one unit the module's versions must agree with the program's.
#include <mend/livepatch.h>
#include <unistd.h>

#include "agree.h"

extern "C" __attribute__((noinline)) int PluginLeft() {
  __asm__ volatile("");
  return 0;
}
extern "C" __attribute__((noinline)) int PluginRight() {
  __asm__ volatile("");
  return 0;
}

// Held by every patch, since a source patch of the program cannot name it. Its result is 1, for the
// caller to see that the right thing was called.
extern "C" MEND_UNIT int HeldPlugin() {
  const Unit unit = BeginUnit();
  const int left = PluginLeft();
  usleep(300);
  // A source patch that was stacked covers an explicit one in the program alone.
  const bool explicit_only = unit.version >= kFirstExplicitVersion;
  const bool agrees =
      explicit_only ? left == unit.version : unit.version == kStackedSourceVersion || left == 0;
  Agree(unit, agrees && PluginRight() == left ? unit.version : -1 - left, "HeldPlugin");
  EndUnit(unit, "HeldPlugin, in the program");
  return 1;
}
