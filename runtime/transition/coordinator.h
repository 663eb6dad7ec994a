// Coordinator: looks at every thread for a request, cheapest way first (design, "Threads and
// safepoints"), and reports what it saw.
//
//   outside, starting   no hosted frame: switched on the spot
//   blocked             claimed, its stack walked from the anchor, switched without waking it
//   running             its poll byte is set; after signal_delay it gets the safepoint signal,
//                       unless it sleeps in the kernel, where the signal might show as EINTR: such
//                       a thread is poked only after poke_interval
//
// Thread safety: none; guarded by the patch registry's mutex.
#ifndef MEND_RUNTIME_TRANSITION_COORDINATOR_H_
#define MEND_RUNTIME_TRANSITION_COORDINATOR_H_

#include <cstdint>
#include <string>

#include "runtime/base/event_log.h"
#include "runtime/patch/patch.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/stack_copy.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

class Coordinator {
 public:
  Coordinator(const PatchLoader* loader, EventLog* events, const RegistryOptions& options)
      : loader_(loader), events_(events), options_(options) {}

  // A new request was published, on behalf of `patch`.
  void Begin(const std::string& patch);
  // Another request on behalf of the same patch, which goes the other way: all threads have to
  // answer anew.
  void Restart();
  // Another request for other reasons: stragglers are poked when they would have been.
  void Resume();

  // Tries every thread that has not acknowledged `request` once. Returns how many are left.
  unsigned Scan(const SwitchRequest& request);

  // Switches all that are left without looking at their stacks. Returns how many.
  unsigned ForceLeft(const SwitchRequest& request);

  // How long to sleep before the next scan: short at first, growing.
  int64_t NextBackoffNs();

  // The thread that the latest scans left last; empty when nobody was held up.
  std::string DescribeStraggler() const;

  // A record's straggler, if it concerns the transition with this epoch.
  Straggler StragglerOf(const ThreadRecord& record, uint32_t epoch) const;

 private:
  // Threads that are still to acknowledge it. A thread that runs may have done so while the scan
  // looked at others.
  static unsigned CountUnanswered(const SwitchRequest& request);
  // True when the thread has acknowledged the request.
  bool Visit(ThreadRecord& record, const SwitchRequest& request);
  bool VisitClaimable(ThreadRecord& record, Activity activity, const SwitchRequest& request);
  // A context that no thread runs, claimed by the caller. Gives it back, or has it forgotten.
  bool VisitSuspended(ThreadRecord& record, const SwitchRequest& request);
  void VisitRunning(ThreadRecord& record, const SwitchRequest& request);
  void MaybeSignal(ThreadRecord& record);
  void ReportSwitched(ThreadRecord& record, const SwitchRequest& request);
  void ReportHeld(ThreadRecord& record, const SwitchRequest& request);

  const PatchLoader* const loader_;
  EventLog* const events_;
  const RegistryOptions options_;

  std::string patch_;
  int64_t begin_ns_ = 0;      // of the current request
  int64_t direction_ns_ = 0;  // since when the transition has gone this way
  int64_t now_ns_ = 0;
  int64_t backoff_ns_ = 0;
  bool poked_ = false;
  StackCopy stack_copy_;  // of the suspended context that is looked at
  pid_t straggler_tid_ = 0;
  std::string straggler_name_;
  CodeAddress straggler_pc_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_COORDINATOR_H_
