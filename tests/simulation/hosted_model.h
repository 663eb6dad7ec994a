// The threads of the simulated program. They act out what the processor would do with the text of
// model_host.h, one step at a time: fetch an entry, load a slot, poll and compare in a trampoline,
// run a body. Each step is a point where the scheduler may go elsewhere or the safepoint signal may
// arrive, with the program counter where the step left it.
#ifndef MEND_TESTS_SIMULATION_HOSTED_MODEL_H_
#define MEND_TESTS_SIMULATION_HOSTED_MODEL_H_

#include <signal.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "runtime/base/event_log.h"
#include "tests/simulation/event_order.h"
#include "tests/simulation/model_callbacks.h"
#include "tests/simulation/model_host.h"
#include "tests/simulation/scheduler.h"

namespace mend {
struct ThreadRecord;
struct ThreadWords;
class PatchRegistry;
}  // namespace mend

namespace mend::simulation {

// What the threads of a history do.
struct Behaviour {
  int units = 3;
  bool stay = true;    // threads go on until the history ends
  int births_max = 0;  // threads that units create
  bool blocks = true;
  bool handlers = false;    // the program's own signal handlers
  bool random_work = true;  // false: poll once between the calls, always
  int forks_left = 0;
  bool raw_threads = false;  // that nobody announces
  bool modules = false;
  int loads_left = 12;  // how often the threads themselves make the module come or go
  bool callbacks = false;
  bool canaries = false;  // most patches are tried by some threads first
  bool sets = false;      // some patches are of a set of their own
  bool states = false;    // patches have some
  int contexts_max = 0;   // how many stacks threads leave and come back to
};

// How the runtime gets to know a thread.
enum class Announcement : uint8_t {
  kProgram,  // by pthread_create: all its life counts
  kHost,     // by mend::Function: while it is in hosted code
  kNone,     // not at all: it calls hosted code through a raw pointer
  kContext,  // none of its own: the program's threads run it in turn (makecontext)
};

// What runs hosted code on one stack: a thread, or a context that threads go to and leave. Of a
// thread that runs a context, what the system knows of it (its fiber, id, signals, words) is the
// context's meanwhile.
class SimulatedThread {
 public:
  static SimulatedThread* Current();
  // Null when there is none (any more).
  static SimulatedThread* Find(int tid);
  static SimulatedThread* OfStack(uintptr_t address);
  // The kernel's part of sending the safepoint signal. False: no such thread, which is a violation
  // if the runtime should know that it has ended.
  static bool Queue(int tid, const siginfo_t& info);
  // A poll byte is being set: for the thread that it belongs to, if another one sets it.
  static void NotePollSet(const volatile void* byte);

  SimulatedThread(ModelHost* host, Behaviour* behaviour, int number, Announcement announcement)
      : tid(2'000'000 + number),
        announcement(announcement),
        host_(host),
        behaviour_(behaviour),
        own_walks_(kFirstWalk + (static_cast<uint64_t>(number) << 32)) {}

  // `record`: from PrepareChild, of a kProgram thread.
  void Start(ThreadRecord* record);
  // A kContext: makes its stack, and tells the core of it.
  void StartContext();
  bool IsSuspended() const { return fiber == nullptr && sp_ != nullptr && !done && !taken_; }
  // In a forked child that has nobody to run it: its stack is used for something else.
  void Abandon();
  // Of a thread that has left its own stack: whose fiber is it?
  SimulatedThread* home() const { return home_; }
  void MaybeInterrupt();  // sends the program's own signal
  // The thread's stack is walked.
  void NoteWalk();
  // The kernel's mask of the calling thread has changed.
  void NoteMask();
  // In a forked child: the only thread has a new id and no signals.
  void BecomeOnlyThread();

  // Looks like no other number (state_digest.h).
  static constexpr uint64_t kFirstWalk = 0x1c00'0000'0000'0000;

  struct Frame {
    CodeAddress pc;
    bool is_return_address = true;
  };
  int tid;
  const Announcement announcement;
  bool done = false;
  bool stays = true;          // as Behaviour::stay; those that units create do not
  bool in_module = false;     // the program keeps the module open
  std::vector<Frame> frames;  // outermost first; what the thread returns to
  CodeAddress pc;             // null: in host code
  Fiber* fiber = nullptr;     // of who runs it
  uintptr_t stack_low = 0;
  uintptr_t stack_high = 0;
  int units_done = 0;
  int creator_tid = 0;  // 0: none that it could inherit from

 private:
  void Main();
  void RunUnits();
  void RunUnit();
  void RunHostedUnit();
  void MaybeLoadOrUnloadModule();
  int Call(Function function);
  CodeAddress Dispatch(CodeAddress entry);
  CodeAddress RunTrampoline(CodeAddress trampoline);
  int RunBody(Function function, int version);
  void Work(int depth);
  void CreateThread();
  void RunContext();
  bool MaySwapContexts() const;
  void SwapSomewhere();
  void RunLeftContexts();
  void SwapTo(SimulatedThread* to, bool for_good);
  void BecomeOwner(Fiber* of);
  // `reads`: what of the text it depends on.
  void Step(CodeAddress at, uintptr_t reads = Access::kBodies);
  void PollAt(CodeAddress return_address);
  void Agree(int first, int second, const char* where);
  void HandleInterrupt();
  void HandleSafepointSignal();
  void HandleProgramSignal();
  template <typename Call>
  void InHost(const Call& call);
  template <typename Answer>
  void MustNotLoseRequest(const Answer& answer);

  ModelHost* const host_;
  Behaviour* const behaviour_;
  ThreadRecord* record_ = nullptr;
  bool takes_signals_ = false;
  void* sp_ = nullptr;               // while it is suspended
  uintptr_t* mark_ = nullptr;        // on its stack: what says that it is suspended
  bool taken_ = false;               // a thread is on its way to it
  SimulatedThread* home_ = nullptr;  // the thread whose fiber it runs on, on its own stack
  const ThreadWords* words_ = nullptr;
  uint64_t asked_ = 0;  // the generation of the request that its poll byte was last set for
  uint64_t own_walks_;  // how many there were is of no interest, but whether there was one
  siginfo_t info_ = {};
  bool safepoint_pending_ = false;
  bool program_pending_ = false;
  bool in_handler_ = false;
};

struct World {
  ModelHost host;
  ModelLoader loader{&host};
  Behaviour behaviour;
  EventLog events;
  CallbackStates callbacks;
  OwnedState owned_states[kStateIds];  // by id
  std::map<int, PatchPlan> plans;      // by version
  PatchRegistry* registry = nullptr;
  std::vector<std::unique_ptr<SimulatedThread>> threads;
  bool stopping = false;
  bool forced = false;               // from here on mixes are the operator's own doing
  bool entries_may_be_open = false;  // one could not be closed
  const Fiber* nothrow_new_fails_on = nullptr;
  bool contexts_abandoned = false;  // there are some that nobody will go back to
  bool module_is_live = false;      // the program may call it
  // Who makes it come or go, or forks: the lock of the C library around modules.
  const Fiber* module_user = nullptr;
  int pid = 1'000'000;
  int version = 0;  // the newest patch's
  int depth = 0;    // of forks: 0 is the first process
  // All that there are within a bound: explorer.h. Events are not kept, only their order.
  bool explored = false;
  EventOrder event_order;
  uint64_t completed = 0;  // transitions
  // Grows as transitions come on: what others do next depends on it (explorer.h).
  unsigned era = 0;
  uint64_t units = 0;

  SimulatedThread* NewThread(Announcement announcement);
  // The program's module comes or goes, unless somebody is at it already.
  void LoadOrUnloadModule();
  void NoteEvent(const Event& event);
  void CheckInvariants();
  bool AllDone() const;

 private:
  void LoadModule();
  void UnloadModule();
  bool ModuleIsUsed(bool suspended) const;
};
World*& CurrentWorld();

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_HOSTED_MODEL_H_
