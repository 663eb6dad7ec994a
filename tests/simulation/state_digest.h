// The state of an explored history as a number: two states with the same one have the same future.
//
// It is taken of the memory itself: what is allocated, the stacks of the fibers (all parked), the
// core's two singletons, and the text. Left out is what no fiber's way depends on, and what grows
// though nothing changes:
//   - what is for people: stragglers, reports, tallies, and events, of which only the order is
//   kept;
//   - times, but for whether they are now, past or to come (the explorer has time stand still, or
//     pass beyond all that the core measures), and which of a record's last signal and the
//     request's beginning came first;
//   - numbers that are only compared with an earlier look at themselves (MarkCounters): whether
//   they
//     are the same;
//   - what is left of a thread that has ended, and in which order threads have;
//   - how many polls a thread may still look at in vain, while there are plenty.
#ifndef MEND_TESTS_SIMULATION_STATE_DIGEST_H_
#define MEND_TESTS_SIMULATION_STATE_DIGEST_H_

#include <cstdint>
#include <vector>

#include "runtime/transition/patch_registry.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/scheduler.h"

namespace mend::simulation {

struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const Digest&) const = default;
  bool operator<(const Digest& other) const {
    return high != other.high ? high < other.high : low < other.low;
  }
};

// The clock of an explored history begins here: no other number looks like a time.
inline constexpr int64_t kExploredEpochNs = 0x1b00'0000'0000'0000;

// Before a history: of what the seams keep.
void ResetCounters();

// The same for the numbers that are compared with themselves. Once for a history, after its
// registry was made.
void MarkCounters(PatchRegistry* registry);

struct DigestOptions {
  bool all_are_there = false;  // there will be no more threads
  bool stacks = true;          // of the fibers
};
// Of a history whose fibers are all parked.
Digest DigestOf(const Scheduler& scheduler, World* world, const DigestOptions& options);

// A history as it stands, all fibers parked, to be gone on with any number of times.
class Snapshot {
 public:
  void Take(const Scheduler& scheduler, const World& world);
  // REQUIRES: it is of the history that runs.
  void Restore(Scheduler* scheduler) const;
  size_t bytes() const { return bytes_.size(); }

 private:
  void Add(const void* begin, size_t bytes);

  std::vector<char> bytes_;  // of each piece: its address, its size, its contents
};

// How far a history has come, and what is asked of that fiber: see explorer.h.
inline constexpr size_t kSituations = 320;
size_t SituationOf(const Fiber& fiber, const World& world);

// Whether no fiber's way depends on what is there: see above.
bool IsForPeople(uintptr_t location, const World& world);

// Forgets what is for people and would take memory.
void ForgetStraggler(World* world);

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_STATE_DIGEST_H_
