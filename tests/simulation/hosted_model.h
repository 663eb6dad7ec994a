// The hosted program of the simulation: text that is written but not executed, and threads that act
// out what the processor would do with it, one step at a time: fetch an entry, load a slot, poll
// and compare in a trampoline, run a body. Each step is a point where the scheduler may go
// elsewhere or the safepoint signal may arrive, with the program counter where the step left it.
//
// The functions: `pair` (held by every patch) calls `alpha` and then `beta`; `alpha` calls `beta`.
// Every patch replaces alpha and beta. What must never be seen: two versions inside one activation.
#ifndef MEND_TESTS_SIMULATION_HOSTED_MODEL_H_
#define MEND_TESTS_SIMULATION_HOSTED_MODEL_H_

#include <signal.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"
#include "tests/simulation/scheduler.h"

namespace mend {
struct ThreadRecord;
}

namespace mend::simulation {

enum Function : int { kPair, kAlpha, kBeta, kFunctions };

// The text of the process: entries, versions, trampolines.
class ModelHost : public CodeHost {
 public:
  ModelHost();
  absl::StatusOr<CodeRange> AllocateText(size_t bytes) override;
  void ReleaseText(CodeRange range) override;
  absl::Status WriteText(absl::Span<const TextWrite> writes) override;
  absl::Status WriteEntries(absl::Span<const EntryWrite> writes) override;

  // A patch that replaces alpha and beta by a new version, and holds pair.
  std::unique_ptr<Patch> MakePatch(int version, bool replace);

  FunctionSite Site(Function function) const;
  // The version whose text `body` begins; -1: none, or it was freed.
  int VersionAt(CodeAddress body) const;
  bool IsTrampoline(CodeAddress address) const;
  bool Freed(CodeAddress address) const;
  int live_texts() const { return live_texts_; }
  // Whether no entry is open, and each slot holds its original.
  bool Pristine() const;

 private:
  friend class ModelModule;
  struct Version {
    CodeRange text;
    int number;
    bool freed;
  };
  CodeRange NewText(size_t bytes);

  size_t used_ = 0;
  FunctionSite sites_[kFunctions];
  std::vector<Version> versions_;
  std::vector<CodeRange> trampolines_;
  std::vector<CodeRange> freed_;
  int live_texts_ = 0;
};

// What the threads of a history do.
struct Behaviour {
  int units = 3;
  bool stay = true;    // threads go on until the history ends
  int births_max = 0;  // threads that units create
  bool blocks = true;
  bool handlers = false;    // the program's own signal handlers
  bool random_work = true;  // false: poll once between the calls, always
};

class SimulatedThread {
 public:
  static SimulatedThread* Current();
  static SimulatedThread* Find(int tid);
  static SimulatedThread* OfStack(uintptr_t address);
  // The kernel's part of sending the safepoint signal. False: no such thread.
  static bool Queue(int tid, const siginfo_t& info);

  SimulatedThread(ModelHost* host, Behaviour* behaviour, int number)
      : tid(2'000'000 + number), host_(host), behaviour_(behaviour) {}

  void Start(ThreadRecord* record);
  void MaybeInterrupt();  // sends the program's own signal

  struct Frame {
    CodeAddress pc;
    bool is_return_address = true;
  };
  const int tid;
  bool done = false;
  bool stays = true;          // as Behaviour::stay; those that units create do not
  std::vector<Frame> frames;  // outermost first; what the thread returns to
  CodeAddress pc;             // null: in host code
  Fiber* fiber = nullptr;
  int units_done = 0;

 private:
  void Main();
  int Call(Function function);
  CodeAddress Dispatch(CodeAddress entry);
  CodeAddress RunTrampoline(CodeAddress trampoline);
  int RunBody(Function function, int version);
  void Work(int depth);
  void Step(CodeAddress at);
  void PollAt(CodeAddress return_address);
  void Agree(int first, int second, const char* where);
  void HandleInterrupt();
  void HandleSafepointSignal();
  void HandleProgramSignal();
  template <typename Call>
  void InHost(const Call& call);

  ModelHost* const host_;
  Behaviour* const behaviour_;
  ThreadRecord* record_ = nullptr;
  siginfo_t info_ = {};
  bool safepoint_pending_ = false;
  bool program_pending_ = false;
  bool in_handler_ = false;
};

struct World {
  ModelHost host;
  Behaviour behaviour;
  std::vector<std::unique_ptr<SimulatedThread>> threads;
  bool stopping = false;
  bool forced = false;  // from here on mixes are the operator's own doing
  uint64_t units = 0;

  SimulatedThread* NewThread();
  void CheckInvariants();
  bool AllDone() const;
};
World*& CurrentWorld();

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_HOSTED_MODEL_H_
