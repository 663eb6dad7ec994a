// The simulation's scheduler: the threads of a history are fibers on one operating system thread,
// and only one runs at a time. Every atomic operation of the code under test, every system call and
// every step of hosted code is a *point*: there the scheduler may go on with another fiber, or
// deliver a signal. All its choices come from a Chooser, so a history is a function of the choices.
//
// Time is a number that grows by a microsecond per point, and leaps when every fiber sleeps.
//
// A broken invariant (Violation) or a dead end ends the history at once: its fibers are dropped as
// they stand.
//
// A history may be guided instead (RunGuided): then a Guide says at each point which fiber goes on,
// and a point says what the step that follows begins with (Access). Time passes only by the guide's
// hand.
#ifndef MEND_TESTS_SIMULATION_SCHEDULER_H_
#define MEND_TESTS_SIMULATION_SCHEDULER_H_

#include <signal.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

// Stores the callee-saved registers on the stack that it leaves, and its stack pointer in *save_sp;
// goes on where `load_sp` was stored, or begins there (fiber_switch.S).
extern "C" void MendFiberSwitch(void** save_sp, void* load_sp);

namespace mend::simulation {

// What MendFiberSwitch begins `entry` from, on the stack that ends at `high`.
void* BeginOfStack(char* high, void (*entry)());

// Where choices come from.
class Chooser {
 public:
  virtual ~Chooser() = default;
  // A number below `n`. Zero is the default: what happens when nothing special does.
  virtual uint32_t Choose(uint32_t n) = 0;
  // A choice of the scheduler: zero goes on with the same fiber.
  virtual uint32_t ChooseFiber(uint32_t n) = 0;
};

// What a step begins with: the shared thing that it reads, writes or waits for. All else that it
// does up to the next point is to what only its fiber has, or to what is ordered by such accesses.
struct Access {
  // An address, or one of these.
  enum : uintptr_t {
    kOwn,       // nothing that others have, too
    kBodies,    // the text of versions: whether it is there
    kSleeps,    // which threads of the program sleep
    kEnds,      // which of them have ended
    kClock,     // the time
    kAnything,  // not said
    kAddresses,
  };
  uintptr_t location = kAnything;
  uint32_t size = 0;
  bool writes = false;
  // A second one that it changes; kOwn: none.
  uintptr_t changes = kOwn;
};

// Says which fiber of a guided history goes on.
class Guide {
 public:
  virtual ~Guide() = default;
  // All fibers are parked at points, or done. May put the history back to where it was (Snapshot).
  // Null: that was all.
  virtual struct Fiber* Choose() = 0;
};

struct Fiber {
  int id = 0;
  const char* name = "";
  std::function<void()> body;
  void* sp = nullptr;
  char* stack_low = nullptr;
  char* stack_high = nullptr;
  bool done = false;
  // Asleep: until somebody wakes `sleeps_on`, or until `wake_ns`.
  const void* sleeps_on = nullptr;
  int64_t wake_ns = 0;
  // Lost its processor until then, wherever it is: what makes narrow windows wide.
  int64_t frozen_ns = 0;
  bool interrupted_asleep = false;  // the interrupt that runs came while it slept
  // Set by whoever simulates a thread: may interrupt it at a point, asleep or not.
  std::function<void()> interrupt;
  bool interrupt_pending = false;
  bool interrupts_off = false;
  // A timer of its own: runs when the fiber has passed so many more points. 0: off.
  std::function<void()> timer;
  uint32_t timer_points = 0;
  bool blocks_signals = false;  // the program's, by its mask
  int cancel_state = 0;         // pthread_setcancelstate's
  void* owner = nullptr;
  // Of a guided history. What the next step begins with.
  Access next;
  // Gave way in a loop that waits for this to change: going round with the same value is no step.
  const void* awaits = nullptr;
  uint64_t awaited_value = 0;
  // Its timed sleeps are no waits for a time, but for the next look: they may end at any moment.
  bool wakes_any_time = false;
  int phase = 0;                                       // grows as it comes nearer to its end
  std::vector<std::pair<void*, void*>> thread_locals;  // control object, memory
};

class Scheduler {
 public:
  static constexpr int kFibersMax = 32;
  static constexpr size_t kStackBytes = 128 * 1024;

  // The one that runs a history now; null outside of histories.
  static Scheduler* Current();

  Scheduler(Chooser* chooser, uint64_t points_max) : chooser_(chooser), points_max_(points_max) {}

  Fiber* Spawn(const char* name, std::function<void()> body);
  // Runs until `main` has ended, or a violation. Returns the violation, or "".
  const char* Run(Fiber* main);

  // Until `guide` says that it is enough, or a violation.
  const char* RunGuided(Fiber* main, Guide* guide);
  // For a guide.
  void set_violation(const char* text);
  static void ClearBelow(const Fiber& fiber);
  void set_now_ns(int64_t now_ns) { now_ns_ = now_ns; }
  bool guided() const { return guide_ != nullptr; }
  // The mutex whose holders are to be known, and who that is now.
  void WatchMutex(const void* word) { watched_ = word; }
  void NoteExchange(const volatile void* word, uint64_t before, uint64_t after) {
    if (word != watched_ || watched_ == nullptr) return;
    if (after == 0) {
      holder_ = nullptr;
    } else if (before == 0) {
      holder_ = running_;
    }
  }
  const Fiber* holder() const { return holder_; }

  // --- called by fibers ---
  void Point(Access access = {});
  void Yield();
  // True when woken, false when the time was up.
  bool Sleep(const void* word, int64_t timeout_ns);
  int Wake(const void* word, int most);
  [[noreturn]] void Violation(const char* format, ...) __attribute__((format(printf, 2, 3)));
  // Called at every point, by the fiber that is about to run on.
  void set_invariants(std::function<void()> check) { check_ = std::move(check); }

  // In a forked child: no other fiber is there any more.
  void KeepOnly(const Fiber* fiber);
  // The fiber with whose end the history ends.
  Fiber* main() const { return main_; }
  void set_main(Fiber* main) { main_ = main; }

  Fiber* running() const { return running_; }
  int64_t now_ns() const { return now_ns_; }
  uint64_t points() const { return points_; }
  Chooser* chooser() const { return chooser_; }
  const std::vector<std::unique_ptr<Fiber>>& fibers() const { return fibers_; }

 private:
  static void Entry();
  void Park();
  void GuidedPoint(Access access);
  void GuidedYield();
  bool GuidedSleep(const void* word, int64_t timeout_ns);
  void SwitchTo(Fiber* next);
  Fiber* Pick(bool may_stay);
  bool Ready(const Fiber& fiber) const;
  bool DeliverInterrupt();
  void WakeSleepers();
  void MaybeFreeze();

  Chooser* const chooser_;
  const uint64_t points_max_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Guide* guide_ = nullptr;
  const void* watched_ = nullptr;
  const Fiber* holder_ = nullptr;
  Fiber* running_ = nullptr;
  void* main_sp_ = nullptr;
  Fiber* main_ = nullptr;
  int64_t now_ns_ = 1'000'000'000;
  uint64_t points_ = 0;
  bool ended_ = false;
  char violation_[512] = "";
  std::function<void()> check_;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_SCHEDULER_H_
