// PatchRegistry: the livepatch core's front door. It owns every patch of the process, knows which
// are active, and runs at most one transition at a time (rules 1.2).
//
// Thread safety: all methods are thread-safe. One mutex serialises them (the kernel's klp_mutex);
// exempt from it are: code in redirection stubs and trampolines, the safepoint slow path, a thread
// that switches itself when it leaves hosted code or handles the signal.
// Blocking: Enable and Disable return once the transition has started (or failed to); Wait waits.
//
// Names: a patch is found by its name (`fix~2`); a bare name means its newest generation. The first
// generation, which carries the bare name, is NAME~1 without doubt.
#ifndef MEND_RUNTIME_TRANSITION_PATCH_REGISTRY_H_
#define MEND_RUNTIME_TRANSITION_PATCH_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/event_log.h"
#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"
#include "runtime/safepoint/thread_state.h"

namespace mend {

namespace simulation {
class RegistryInspector;  // tests/simulation: looks at the invariants
}

struct RegistryOptions {
  absl::Duration poke_interval = absl::Seconds(15);      // stragglers asleep in unknown host code
  absl::Duration signal_delay = absl::Milliseconds(10);  // a running thread that has not polled
  std::string program_name = "program";  // how messages call the program's own object
  // Whether threads that nobody announced (raw clones; in an embedding host: threads that never
  // entered hosted code by mend::Function) are signalled at each transition, to see whether hosted
  // code is on their stacks. A host whose threads call hosted code only through mend::Function may
  // turn it off, and spare its threads an EINTR.
  bool adopt_unknown_threads = true;
  // Called on a thread of the runtime before it runs hosted code (callbacks, a module's init):
  // gives it the initial values of hosted thread-locals. May be null.
  std::function<void()> initialize_thread;
};

// How many threads switched in which way, in one transition.
struct SwitchCounts {
  uint64_t outside = 0;
  uint64_t blocked = 0;
  uint64_t poll = 0;
  uint64_t signal = 0;
  uint64_t forced = 0;
  uint64_t created = 0;  // born switched
};

struct TransitionReport {
  std::string patch;
  bool patching = true;  // the direction it completed in
  bool reversed = false;
  SwitchCounts switched;
  int64_t start_ns = 0;        // preparation until entries are open
  int64_t switch_ns = 0;       // until the last thread switched
  int64_t complete_ns = 0;     // slots, grace period, clean-up
  std::string last_straggler;  // thread name and function; empty if nobody was held up
};

// Which threads try a patch first. One of the three is set, or none: all threads at once.
struct CanarySpec {
  unsigned threads = 0;  // so many, the youngest
  unsigned percent = 0;  // of all threads, rounded up, the youngest
  std::string names;     // a glob of thread names

  bool empty() const { return threads == 0 && percent == 0 && names.empty(); }
};

struct FunctionStatus {
  std::string object, name;
  unsigned sympos = 1;
  ChangeReason reason = ChangeReason::kChanged;
  std::string detail;
  bool nop = false;
};

struct ObjectStatus {
  std::string name;  // empty: the program itself
  bool patched = false;
};

struct PatchStatus {
  std::string name;
  bool enabled = false;
  bool transition = false;
  bool replace = true;
  std::string replace_set;
  bool forced = false;
  unsigned stack_order = 0;  // 1..n while active, else 0
  std::string content_hash;
  uint64_t text_bytes = 0;
  std::vector<ObjectStatus> objects;
  std::vector<FunctionStatus> functions;
  std::vector<std::string> parameters;
  // To apply it once more: see Patch, and what parameters were set.
  std::shared_ptr<const std::string> file;
  bool allow_inlined = false;
  ParameterValues parameter_values;
};

struct ThreadStatus {
  pid_t tid = 0;  // 0: a suspended context (ThreadRegistry), which no thread runs, or
                  // what an unregistered stack may hold (unregistered_stack.h)
  std::string name;
  Activity activity = Activity::kRunning;
  std::string blocked_in;          // libc function, when blocked
  int patch_state = -1;            // -1 no transition, 0 unpatched, 1 patched
  bool asked = true;               // false: a canary runs, and the thread was not chosen for it
  Straggler straggler;             // what holds it back in this transition
  std::string straggler_function;  // described
};

// Which way a transition is expected to go by somebody who turns it round, or forces it. Between
// his look and his call somebody else may have turned it round.
enum class Direction : uint8_t { kAny, kPatching, kUnpatching };

struct CoreStatus {
  std::vector<PatchStatus> patches;  // in the order they were added
  std::string transition;            // the patch in transition; empty if none
  bool transition_patching = true;
  int64_t transition_age_ns = 0;
  // The transition is a canary: only the threads that were chosen switch. Held: they have, and the
  // transition stays as it is until it is promoted, or turned round.
  bool canary = false;
  bool canary_held = false;
  unsigned threads_total = 0;
  unsigned threads_left = 0;  // of those that are asked
};

class PatchRegistry {
 public:
  // `host`, `loader` and `events` must outlive the registry. Installs the safepoint signal's
  // handler and starts the coordinator thread.
  static absl::StatusOr<std::unique_ptr<PatchRegistry>> Create(CodeHost* host, PatchLoader* loader,
                                                               EventLog* events,
                                                               const RegistryOptions& options);
  // Stops the coordinator. A transition that runs stays as it is.
  ~PatchRegistry();
  // Stops the coordinator for good, of a registry that stays because its patches do. REQUIRES: no
  // transition runs, and none will be asked for.
  void Stop();

  // Takes the patch and starts its transition (LC2..LC4). Same name and content as an enabled one:
  // OK, nothing happens. Same name, other content: the new one is called NAME~2, NAME~3, ...
  // Errors leave the program as it was: UNAVAILABLE ("EBUSY: ...") while another transition runs,
  // INVALID_ARGUMENT ("EINVAL: ..."), RESOURCE_EXHAUSTED. Returns the patch's final name.
  // With a canary only the threads that it chooses are asked, and those that they create from then
  // on inherit from them; NOT_FOUND when it chooses none. Once they have switched the transition is
  // held: trampolines stay, every thread keeps its state, and no other transition can start.
  absl::StatusOr<std::string> Enable(std::unique_ptr<Patch> patch, const CanarySpec& canary = {});
  // What Enable would do up to its first change, and then a look at every thread, up to a third of
  // a second: who is in what the patch would replace or hold. Those threads would hold it up; their
  // patch_state is 0, and since_ns says since when this look has found them there. Errors are
  // Enable's.
  absl::StatusOr<std::vector<ThreadStatus>> Examine(Patch* patch);
  // Enables a disabled or replaced patch whose module is still here; during a transition that
  // unpatches it: reverses.
  absl::Status EnableAgain(const std::string& patch);
  // Starts the transition that takes the patch off; during a transition that patches it: reverses.
  // OK when it is not enabled.
  absl::Status Disable(const std::string& patch);
  // Asks the other threads too. FAILED_PRECONDITION when the patch is no canary.
  absl::Status Promote(const std::string& patch);
  // Flips the direction of the running transition (LC10). FAILED_PRECONDITION without one, or when
  // it does not go the way that is `expected`.
  absl::Status Reverse(const std::string& patch, Direction expected = Direction::kAny);
  // A write to the attribute `enabled` (1.8): reverses the patch's transition, or starts the one
  // that takes it off. EINVAL when it is so already, or off.
  absl::Status SetEnabled(const std::string& patch, bool enabled);
  // Brings back what was active before the last apply of a patch that is enabled still, in one
  // transition; in that apply's own transition: reverses it. Returns the patch that goes. NOT_FOUND
  // when there is nothing to revert, or what was replaced has been removed.
  absl::StatusOr<std::string> Revert();
  // Completes the running transition now, for the threads left too (1.9). EINVAL as for Reverse.
  absl::Status Force(const std::string& patch, Direction expected = Direction::kAny);
  // Frees a patch that is neither enabled nor in transition, once every thread was seen off its
  // text. UNAVAILABLE ("EBUSY: ...") names the thread that is still in it.
  absl::Status Remove(const std::string& patch);

  // A patch module's parameters. ENOENT, EINVAL, ERANGE.
  absl::StatusOr<std::string> GetParameter(const std::string& patch,
                                           const std::string& parameter) const;
  absl::Status SetParameter(const std::string& patch, const std::string& parameter,
                            const std::string& value);
  // 0 when Remove would succeed, else 1. Looks, for a patch that was forced.
  absl::StatusOr<int> References(const std::string& patch);

  // --- for the ModuleRegistry (rules 1.10) ---

  // The module is linked, and nothing of it has run: applies every active patch that names it. The
  // error of a refusal (a callback's, say) is the caller's reason not to load it; what was applied
  // is taken off again then. `module` must stay until ModuleGoing has returned.
  absl::Status ModuleComing(mend_object* module);
  // The module's exit function and destructors have run: takes the patches off it.
  absl::Status ModuleGoing(mend_object* module);
  // Whether every thread is off that text (and off the patches' versions of the module's
  // functions), also while a transition runs. UNAVAILABLE ("EBUSY: ...") names a thread that is
  // not.
  absl::Status CheckTextUnused(const std::string& module, const std::vector<CodeRange>& text);

  // --- for hosted code ---

  // SR4. Null outside of a transition.
  mend_state* PreviousState(unsigned long id) const;
  // Whether the calling thread runs a livepatch callback: it holds the core's lock, and must not
  // call back (CB12): whatever changes a patch or module, or waits, returns EDEADLK. Parameters,
  // states, the status and the threads may be asked for.
  bool InCallback() const;
  // How logs and the attribute tree call the program.
  const std::string& program_name() const;

  // Waits until no transition runs (`or_held`: or a canary is held). DEADLINE_EXCEEDED names the
  // straggler.
  absl::Status Wait(absl::Duration timeout, bool or_held = false);
  // The latest transition that completed.
  TransitionReport LastTransition() const;
  CoreStatus Status() const;
  std::vector<ThreadStatus> Threads() const;
  // Whether a thread was seen on a stack that nobody told of (unregistered_stack.h): "none",
  // "ignored", or who it was and where.
  std::string UnregisteredStackSeen() const;

  // Around fork, in the forking thread, outside of ThreadRegistry's own. In the child the
  // coordinator is started anew; a running transition goes on there by itself.
  void PrepareFork();
  void ParentAfterFork();
  void ChildAfterFork();

  // In a forked child, whose first transition would start it: the coordinator's thread, as long as
  // there are threads to be had.
  void StartCoordinator();

  class State;  // registry_state.h

 private:
  friend class simulation::RegistryInspector;
  explicit PatchRegistry(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_PATCH_REGISTRY_H_
