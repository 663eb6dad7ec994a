// Goes through all histories of a small bound, depth first, and visits each state once.
//
// A state (state_digest.h) that was visited before ends the history: its future is known. From a
// new one each fiber goes on in turn, for which the history is put back; as few of them as a
// persistent set needs, which is the reduction.
//
// Time is part of the choice. It stands still while fibers run. A sleep of the coordinator between
// two looks ends at once, or after all that the core measures has passed; other sleeps with a
// time-out end when nobody else can go on. A thread that gives way in a loop goes on when what the
// loop waits for has changed.
//
// The reduction. Two steps are independent if they begin with accesses (Access) to different
// locations, or with reads; all else that a step does is ordered by such accesses (the core is free
// of data races: memory_ordering.md, ThreadSanitizer). A set of fibers is persistent in a state if
// nothing that the others may do before one of those in the set does depends on the next steps of
// these (P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996,
// chapter 4). What the others may do before is learned, in every history: futures.h.
//
// Why learning is enough. Say that only `a`, of fiber A, is gone on with from a state, and that the
// others could come, by steps that are independent of `a`, to a step that depends on it. The same
// steps can be taken after `a`, and lead to where that step is about to be done, while A stands
// where it stood or has done more that was as independent; so it is seen there, and contradicts
// what was thought. A pass of which that is true is given up, a while after, and there is another
// one; what has been learned stays. The last one has rested on nothing that it has not borne out.
//
// A state from which a step leads back to a state on the way to it is left by every fiber, so that
// none is put off for ever (the cycle proviso).
#ifndef MEND_TESTS_SIMULATION_EXPLORER_H_
#define MEND_TESTS_SIMULATION_EXPLORER_H_

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "tests/simulation/futures.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/state_digest.h"

namespace mend::simulation {

// The digests that were seen, each with a mark.
class DigestTable {
 public:
  enum class Found : uint8_t { kNew, kMarked, kUnmarked };
  DigestTable() : entries_(1 << 16) {}
  // Adds it, marked, if it is new.
  Found Insert(Digest digest);
  void Unmark(Digest digest);
  bool Contains(Digest digest) { return *Find(digest) != Digest{}; }
  void Clear();
  size_t size() const { return size_; }

 private:
  // The lowest bit of `high` is the mark; no entry is zero.
  Digest* Find(Digest digest);
  static bool Same(Digest one, Digest other) {
    return (one.high | 1) == (other.high | 1) && one.low == other.low;
  }
  void Grow();
  std::vector<Digest> entries_;
  size_t size_ = 0;
};

class Explorer : public Guide {
 public:
  struct Options {
    // False: every fiber that can goes on from each state.
    bool reduce = true;
    // Histories at random come first, from which most of what the reduction rests on is learned.
    bool learns_first = true;
    // False: no sleep of the coordinator lasts long.
    bool time_passes = true;
    // Not negative: a fiber that could have gone on gives way so often at most. Without reduction.
    int preemptions_max = -1;
    // Not negative: no state is looked up, and so many choices at most are not the plain one (the
    // same fiber, else the next in turn).
    int deviations_max = -1;
  };
  explicit Explorer(const Options& options)
      : options_(options),
        to_learn_from_(options.reduce && options.learns_first ? 2000 : 0),
        passes_(to_learn_from_ > 0 ? 0 : 1) {}

  // Before each pass, which begins with a new history. `fibers`: when so many are there, there will
  // be no more.
  void Begin(Scheduler* scheduler, World* world, size_t fibers);
  Fiber* Choose() override;
  // After a pass that did not break anything. False: that was the last one.
  bool Next();

  size_t states() const { return visited_.size(); }
  int passes() const { return passes_; }
  uint64_t histories() const { return histories_; }
  // The states in which histories ended, without what is on stacks; sorted.
  const std::vector<Digest>& ends() const { return ends_; }
  // What fibers did, each step by its fiber, place and access; sorted.
  std::vector<uint64_t> Steps() const;
  // The choices of the history, for people.
  std::string Path() const;

 private:
  static constexpr size_t kFibersMax = Futures::kFibersMax;
  static constexpr size_t kOptionsMax = 8;
  using FiberSet = uint32_t;
  // Which fiber goes on, and how its sleep ends.
  enum : uint8_t { kFiber = 0x0f, kLate = 0x10, kDue = 0x20 };

  struct Level {
    size_t at;  // in path_
    Digest digest;
    std::array<uint8_t, kOptionsMax> options;
    uint8_t count;    // of those, are gone through
    uint8_t all;      // of those; the rest only if it has to be
    uint8_t taken;    // now
    int preemptions;  // before
    FiberSet chosen;
    Snapshot before;
  };
  // Of the graphs (futures.h), by who stands and by the other one.
  using Nodes = std::array<std::array<uint32_t, kFibersMax>, kFibersMax>;

  Digest StateNow(bool stacks = true) const {
    return DigestOf(*scheduler_, world_,
                    {.all_are_there = scheduler_->fibers().size() == fibers_, .stacks = stacks});
  }
  Fiber& At(size_t id) const { return *scheduler_->fibers()[id]; }
  void NoteAccess();
  static uint64_t KeyOfStep(const Fiber& fiber);
  void NoteStep();
  void LookAtAll();
  uint32_t ControlOf(const Fiber& fiber);
  void NoteContradiction();
  uintptr_t ChangesOf(const Fiber& fiber) const;
  void NoteSleep(const Fiber& fiber);
  bool IsReady(const Fiber& fiber) const;
  bool SleepsUntilAnyTime(const Fiber& fiber) const;
  FiberSet Ready() const;
  // All that it holds, ready or not.
  FiberSet Persistent(FiberSet ready);
  FiberSet Closure(size_t seed, FiberSet ready);
  // Which others may still do what depends on the access; or, `writers`, change what it reads.
  FiberSet Dependent(const Fiber& fiber, const Access& access, bool writers = false);
  FiberSet DependentOnNext(const Fiber& fiber, bool ready);
  void AddOptions(FiberSet fibers, Level* level) const;
  bool Preempts(uint8_t choice) const;
  void LeaveOutPreemptions(FiberSet ready, Level* level) const;
  bool WasCheaper(Digest* digest);
  Fiber* GoOn();
  uint8_t SomeOption(const Level& level);
  Fiber* Take(uint8_t choice);
  // To the newest state that has another choice left, with that; null: there is none.
  Fiber* GoBack();
  int Deviations() const;

  const Options options_;
  Scheduler* scheduler_ = nullptr;
  World* world_ = nullptr;
  size_t fibers_ = 0;
  std::vector<uint8_t> path_;  // the choices of the history
  int preemptions_ = 0;
  size_t without_level_ = 0;
  std::vector<Level> levels_;
  std::vector<Snapshot> spare_;
  DigestTable visited_;
  Futures futures_;
  std::unordered_set<uintptr_t> slept_on_;  // by threads of the program
  bool all_are_there_ = false;
  Nodes nodes_ = {};
  FiberSet chosen_ = ~FiberSet{0};  // the set that the step was taken from
  // Before the first pass, histories at random have most of it learned.
  int to_learn_from_;
  uint64_t random_ = 0x9e3779b97f4a7c15;
  // A choice rested on what turned out to be wrong, when there were so many states.
  bool contradicted_ = false;
  size_t contradicted_at_ = 0;
  int passes_;
  uint64_t histories_ = 0;
  std::vector<Digest> ends_;
  std::unordered_set<uint64_t> steps_;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_EXPLORER_H_
