// PatchService: what an operator's verbs do, step by step, over the patch registry. The control
// server and the embedding facade are its callers, so that a patch takes the same way through both.
//
// A verb brings about a state: asked for what holds already, it reports kNothingToDo. Bare names
// mean a patch's newest generation (`fix` is `fix~2` once there is one).
//
// Thread safety: all methods are thread-safe. Blocking: as their WaitPolicy says; Shutdown ends
// every wait with CANCELLED.
#ifndef MEND_RUNTIME_CONTROL_PATCH_SERVICE_H_
#define MEND_RUNTIME_CONTROL_PATCH_SERVICE_H_

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/patch/patch.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

// What to do when threads are left at the time-out.
enum class TimeoutPolicy : uint8_t { kReverse, kWait, kForce };

struct WaitPolicy {
  absl::Duration timeout = absl::Seconds(30);
  TimeoutPolicy on_timeout = TimeoutPolicy::kReverse;
  bool no_wait = false;  // return once the transition has started
};

struct ApplyOptions {
  WaitPolicy wait;
  bool dry_run = false;  // link, check, ask who would hold it up, then drop it: nothing changes
  bool persist = false;  // copy the module into the patch directory once it is applied
  bool allow_inlined =
      false;  // although inlined copies of what is replaced stay (explicit patches)
  ParameterValues parameters;  // of the patch module, set before its first callback
  // Only these threads try it, until it is promoted; not with `persist`, nor when it is to be
  // forced.
  CanarySpec canary;
};

// "3" (threads), "10%" or a glob of thread names. EINVAL.
absl::StatusOr<CanarySpec> ParseCanary(const std::string& text);

enum class Outcome : uint8_t {
  kComplete,     // every thread has switched
  kNothingToDo,  // the state asked for held already
  kMigrating,    // the transition goes on
  kReversed,     // it timed out, and every thread is back
  kDryRun,
  kCanary,  // the canary's threads have switched; the others wait until it is promoted
};

// What a verb did.
struct VerbReport {
  Outcome outcome = Outcome::kComplete;
  std::string patch;                           // final name
  std::optional<TransitionReport> transition;  // when one has completed
  std::vector<ThreadStatus> stragglers;        // when one goes on
};

// A function that a patch brings and that replaces none.
struct AddedFunction {
  std::string object;  // guest module; empty: the program
  std::string name;    // symbol
};

struct ApplyResult : VerbReport {
  bool replace = true;
  bool persisted = false;
  std::vector<FunctionStatus> functions;
  std::vector<AddedFunction> added;
  std::vector<std::string> held;
  std::vector<std::string> replaced_patches;
  int64_t parse_ns = 0;
  int64_t link_ns = 0;
  int64_t check_ns = 0;       // what Enable took before the first entry was touched
  int64_t transition_ns = 0;  // from there until it completed, or until now
};

class PatchService {
 public:
  // `registry` and `loader` must outlive the service. `patch_dir` may be empty.
  PatchService(PatchRegistry* registry, PatchLoader* loader, std::string patch_dir)
      : registry_(registry), loader_(loader), patch_dir_(std::move(patch_dir)) {}

  // Applies the bytes of a patch module: untrusted input. Errors leave the program as it was.
  absl::StatusOr<ApplyResult> Apply(std::string_view module_bytes, const ApplyOptions& options);

  // Takes a patch off, or puts a disabled one back. During a transition of that patch in the other
  // direction: reverses it. Enable promotes a canary. NOT_FOUND for an unknown patch.
  absl::StatusOr<VerbReport> Disable(const std::string& patch, const WaitPolicy& wait);
  absl::StatusOr<VerbReport> Enable(const std::string& patch, const WaitPolicy& wait);
  // The canary's other threads switch too.
  absl::StatusOr<VerbReport> Promote(const std::string& patch, const WaitPolicy& wait);
  // Turns the running transition of the patch round, and returns.
  absl::StatusOr<VerbReport> Reverse(const std::string& patch);
  // Brings back what was active before the last apply, in one transition. NOT_FOUND.
  absl::StatusOr<VerbReport> Revert(const WaitPolicy& wait);
  // Completes the running transition of the patch, whatever its threads run.
  absl::StatusOr<VerbReport> Force(const std::string& patch);
  // Frees a patch that is disabled or replaced. An unknown one is gone already.
  absl::StatusOr<VerbReport> Remove(const std::string& patch);
  // Waits until no transition runs; kMigrating past the time-out.
  absl::StatusOr<VerbReport> WaitIdle(absl::Duration timeout);

  // The patch that a name means: itself, or its newest generation. NOT_FOUND.
  absl::StatusOr<PatchStatus> FindPatch(const std::string& name) const;

  PatchRegistry* registry() const { return registry_; }
  const PatchLoader& loader() const { return *loader_; }

  void Shutdown();

 private:
  enum class WaitEnd { kIdle, kTimedOut, kCancelled };
  WaitEnd WaitFor(absl::Duration timeout, bool or_held = false);
  // Waits for the running transition of `patch`, which is to end with `enabled`, or, as a canary,
  // to be held.
  absl::Status Settle(const std::string& patch, bool enabled, const WaitPolicy& wait,
                      VerbReport* report, bool is_canary = false);
  absl::Status GiveUp(const std::string& patch, bool enabled, const WaitPolicy& wait,
                      VerbReport* report);
  absl::StatusOr<VerbReport> Switch(const std::string& name, bool enable, const WaitPolicy& wait);
  absl::StatusOr<ApplyResult> Reapply(const PatchStatus& same, const ApplyOptions& options,
                                      ApplyResult report);
  absl::Status Start(std::unique_ptr<Patch> patch, const ApplyOptions& options,
                     ApplyResult* report);
  absl::Status Persist(std::string_view module_bytes, ApplyResult* report) const;

  PatchRegistry* const registry_;
  PatchLoader* const loader_;
  const std::string patch_dir_;
  std::atomic<bool> shutdown_ = false;  // a flag of its own: nothing is published through it
};

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_PATCH_SERVICE_H_
