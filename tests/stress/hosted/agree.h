// What the parts of the tortured program share: the program itself (agree.cc, agree_waits.cc), the
// guest module that it opens and closes (agree_plugin.cc), and the explicit patches of both
// (agree_patch.cc).
#ifndef MEND_TESTS_STRESS_HOSTED_AGREE_H_
#define MEND_TESTS_STRESS_HOSTED_AGREE_H_

#include <atomic>

// The functions whose versions must agree. Original and source patches return less than this; an
// explicit patch returns its own number, from these and from the plugin's two.
constexpr int kFirstExplicitVersion = 10;
// The one source patch that does not replace what is there.
constexpr int kStackedSourceVersion = 3;
int Left();
int Right();

// Odd while the operator forces a transition: what runs meanwhile may mix, and says nothing.
extern std::atomic<unsigned> forces;

// A unit: the version that its first call saw.
struct Unit {
  int version;
  unsigned forces_before;
};

// To be called by the function that is the unit, so that it is on the stack from here to EndUnit.
__attribute__((always_inline)) inline Unit BeginUnit() {
  const unsigned before = forces.load();
  return {Left(), before};
}

// Counts the unit; a mix if `version` is not the one that it began with.
void Agree(const Unit& unit, int version, const char* where);

__attribute__((always_inline)) inline void EndUnit(const Unit& unit, const char* where) {
  Agree(unit, Right(), where);
}

// A unit for the callbacks of patches.
void HeldCallback();

// Keeps its thread running.
inline void Spin(int turns) {
  for (volatile int i = 0; i < turns; i = i + 1) {
  }
}

#endif  // MEND_TESTS_STRESS_HOSTED_AGREE_H_
